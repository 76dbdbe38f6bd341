"""The chat template of a format: `chat.generation_prompt` as jinja, with history and tools.

Owns how Qwen2.5 was taught to be given tools. Refuses roles it does not know.
"""

from __future__ import annotations

import json

from s1_core import chat

_TEMPLATE = """
{%- macro safe(text) -%}{{ (text or '')SAFE }}{%- endmacro -%}
{%- set has_system = messages and messages[0]['role'] in ['system', 'developer'] -%}
{{- START + 'system\\n' -}}
{{- safe(messages[0]['content']) if has_system else SYSTEM -}}
{%- if tools -%}
    {{- '\\n\\n# Tools\\n\\nYou may call one or more functions to assist with the user query.' -}}
    {{- '\\n\\nYou are provided with function signatures within <tools></tools> XML tags:' -}}
    {{- '\\n<tools>' -}}
    {%- for tool in tools -%}{{- '\\n' + safe(tool | tojson) -}}{%- endfor -%}
    {{- '\\n</tools>\\n\\nFor each function call, return a json object with function name and ' -}}
    {{- 'arguments within ' + CALL + CALL_END + ' XML tags:\\n' + CALL -}}
    {{- '\\n{"name": <function-name>, "arguments": <args-json-object>}\\n' + CALL_END -}}
{%- endif -%}
{{- END -}}
{%- for message in (messages[1:] if has_system else messages) -%}
    {%- if message['role'] in ['system', 'developer', 'user'] -%}
        {{- START + ('user' if message['role'] == 'user' else 'system') + '\\n' -}}
        {{- safe(message['content']) + END -}}
    {%- elif message['role'] == 'assistant' -%}
        {{- START + 'assistant\\n' + (message['content'] or '') -}}
        {%- for call in message['tool_calls'] or [] -%}
            {%- set function = call['function'] or call -%}
            {{- '\\n' if message['content'] or not loop.first -}}
            {{- CALL + '\\n{"name": ' + function['name'] | tojson + ', "arguments": ' -}}
            {{- function['arguments'] | tojson + '}\\n' + CALL_END -}}
        {%- endfor -%}
        {{- END -}}
    {%- elif message['role'] == 'tool' -%}
        {{- START + 'user' if loop.first or loop.previtem['role'] != 'tool' -}}
        {{- '\\n' + RESULT + '\\n' + safe(message['content']) + '\\n' + RESULT_END -}}
        {{- END if loop.last or loop.nextitem['role'] != 'tool' -}}
    {%- else -%}
        {{- raise_exception('unknown role ' + message['role']
            + '; valid are system, developer, user, assistant, tool') -}}
    {%- endif -%}
{%- endfor -%}
{{- START + 'assistant\\n' + THINK if add_generation_prompt -}}
""".strip()


def chat_template(fmt: chat.Format) -> str:
    """Give the template of a tokenizer: turns, tools, and the thinking start behind the last.

    Control tokens of users, systems and tools are neutralised; an assistant's history is verbatim.
    """
    words = {
        "START": chat.TURN_START, "END": chat.TURN_END + "\n", "SYSTEM": chat.SYSTEM_PROMPT,
        "CALL": chat.CALL_START, "CALL_END": chat.CALL_END, "THINK": fmt.thinking_start,
        "RESULT": chat.RESULT_START, "RESULT_END": chat.RESULT_END,
    }  # fmt: skip
    sets = "".join(f"{{%- set {name} = {json.dumps(word)} -%}}" for name, word in words.items())
    safe = "".join(f" | replace({t!r}, {chat.neutralise(t)!r})" for t in chat.SPECIAL_TOKENS)
    return sets + _TEMPLATE.replace("SAFE", safe)
