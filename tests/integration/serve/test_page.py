"""The page in a browser, on the service and its engine; and a pane on streams that go wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

CHROMIUM = Path("/usr/bin/chromium")
SECONDS = 1000  # playwright counts milliseconds
CHAT = "/v1/chat/completions"
KEY = "0123456789abcdef-page"


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"{CHROMIUM} does not start: {error}")
        yield found
        found.close()


@pytest.fixture
def opened(browser):
    """Open the page at a URL; it may ask nothing of others and raise nothing."""
    elsewhere, contexts, errors = [], [], []

    def opening(url, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(120 * SECONDS)
        page = context.new_page()
        page.on("request", lambda asked: elsewhere.append(asked.url))
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(url)
        page.wait_for_selector("#think")
        return page

    yield opening
    for context in contexts:
        context.close()
    assert not errors
    assert {httpx.URL(url).host for url in elsewhere} <= {"127.0.0.1"}


@pytest.fixture
def shoot(tmp_path):
    folder = Path(os.environ.get("S1_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def shooting(page, name):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls"
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return shooting


@pytest.fixture(scope="module")
def question(service):
    """A question at which the random model attempts to end twice within 30 tokens."""

    def asked(text):
        body = {"messages": [{"role": "user", "content": text}], "temperature": 0}
        budget = {"thinking_token_budget": 30, "num_extends": 2, "max_tokens": 120}
        (choice,) = service.post(CHAT, body | budget).json()["choices"]
        return choice["thinking"]["extends"] == 2 and choice["finish_reason"] == "stop"

    texts = [f"What is {number} + {number}?" for number in range(320)]
    with ThreadPoolExecutor(16) as pool:
        for start in range(0, len(texts), 16):
            batch = texts[start : start + 16]
            for text, is_good in zip(batch, pool.map(asked, batch), strict=True):
                if is_good:
                    return text
    raise AssertionError("no question is extended twice")


def ask(page, text, **budget):
    """Type a question and budgets by the names of their fields, and press Enter."""
    for name, value in budget.items():
        page.fill(f"#{name.replace('_', '-')} input[type=number]", str(value))
        page.keyboard.press("Tab")
    page.fill("#question textarea", text)
    page.press("#question textarea", "Enter")


def counts(page, column="first"):
    """Wait for the end of an answer and read its line of counts."""
    line = page.locator(f"#{column}-counts", has_text="tokens/s")
    line.wait_for()
    return line.inner_text()


def refusal(page, column="first"):
    line = page.locator(f"#{column}-counts [role=alert]")
    line.wait_for()
    return line.inner_text()


@pytest.mark.engine
@pytest.mark.multiprocess
def test_an_answer_streams_with_its_forced_text_marked_and_its_tokens_counted(
    service, question, opened, shoot
):
    page = opened(service.url)
    assert page.url == f"{service.url}/ui/"
    assert not page.is_visible("#key") and not page.is_visible("#second-maximum")
    ask(page, question, first_maximum=30, first_extends=2)
    found = re.fullmatch(
        r"30 thinking tokens \(cut at the maximum\), 2 extends, (\d+) answer tokens,"
        r" [\d.]+ s, \d+ tokens/s",
        counts(page),
    )
    assert found and int(found[1]) > 0
    assert page.locator("#first-thinking mark").all_inner_texts() == ["Wait", "Wait"]
    assert len(page.inner_text("#first-thinking")) > len("WaitWait")
    assert page.inner_text("#first-answer").startswith("Final Answer:")
    shoot(page, "single")

    page.fill("#extend-with textarea, #extend-with input", "<b>${1}{{x}}\nWait</b>")
    ask(page, question, first_maximum=200, first_extends=1)
    page.locator("#first-counts", has_text="1 extend,").wait_for()
    assert page.locator("#first-thinking mark").all_inner_texts() == ["<b>${1}{{x}}\nWait</b>"]


@pytest.mark.engine
@pytest.mark.multiprocess
def test_two_budgets_stand_side_by_side(service, question, opened, shoot):
    page = opened(service.url)
    page.check("#compare input")
    page.wait_for_selector("#second-maximum")
    ask(page, question, first_maximum=12, second_maximum=30, second_extends=2)
    assert counts(page).startswith("12 thinking tokens (cut at the maximum), 0 extends")
    assert counts(page, "second").startswith("30 thinking tokens (cut at the maximum), 2 extends")
    left, right = (page.locator(f"#{name}-thinking").bounding_box() for name in ("first", "second"))
    assert left["x"] + left["width"] <= right["x"] and abs(left["y"] - right["y"]) < 2
    shoot(page, "compare")

    ask(page, question, second_minimum=31)
    assert "give a minimum not above the maximum" in refusal(page, "second")
    counts(page)
    shoot(page, "refused")


@pytest.mark.engine
@pytest.mark.multiprocess
def test_stop_and_a_closed_tab_end_the_generation(service, opened):
    for end in (lambda page: page.click("#stop"), lambda page: page.close()):
        page = opened(service.url)  # a pane that was used still holds the text of its last answer
        page.click("#think")
        assert refusal(page) == "Type a question first."
        ask(page, "How many r in raspberry?", first_minimum=1700)
        page.wait_for_selector("#first-thinking .s1-text:not(:empty)")
        assert service.num_running() == 1
        end(page)
        deadline = time.monotonic() + 20
        while service.num_running() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not service.num_running()
        if not page.is_closed():
            assert refusal(page) == "Stopped."


@pytest.mark.engine
@pytest.mark.multiprocess
@pytest.mark.parametrize(
    ("name", "options"), [("narrow", {"width": 400}), ("dark", {"color_scheme": "dark"})]
)
def test_it_fits_a_phone_and_the_dark(service, question, opened, shoot, name, options):
    page = opened(service.url, **options)
    page.click("text=How many r in raspberry?")
    page.wait_for_function("document.querySelector('#question textarea').value != ''")
    ask(page, question, first_maximum=30, first_extends=2)
    counts(page)
    shoot(page, name)
    page.check("#compare input")
    page.wait_for_selector("#second-maximum")
    shoot(page, f"{name}-compare")


@pytest.mark.multiprocess
def test_where_there_are_keys_the_page_asks_for_one(opened, tmp_path):
    from fastapi import FastAPI

    from s1_serve.config import ServiceConfig
    from s1_serve.server import access, page
    from s1_serve.server.telemetry import Telemetry

    (tmp_path / "keys").write_text(KEY)
    inside = FastAPI()
    page.mount(inside, ServiceConfig(model="embedded", api_keys_file=str(tmp_path / "keys")))
    gate = access.Gate(keys=(KEY,), max_body_bytes=1 << 20, telemetry=Telemetry())
    with _listening(access.Access(inside, gate)) as url:
        found = opened(f"{url}/ui")
        field = found.locator("#key input")
        assert field.get_attribute("type") == "password"
        ask(found, "1 + 1?")
        assert refusal(found).startswith("This server wants an API key")
        field.fill(KEY)
        ask(found, "1 + 1?")
        found.locator("#first-counts", has_text="answered 404").wait_for()


@contextmanager
def _listening(app):
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def streamed(*parts, status=200):
    """Give a pane the parts of a response and return what it paints."""
    from s1_serve.server.pane import Pane

    async def content():
        for part in parts:
            if isinstance(part, Exception):
                raise part
            yield part

    async def asked():
        transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content()))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            await pane.ask(client, {"extend_with": "Wait"})

    pane = Pane()
    with ThreadPoolExecutor(1) as pool:  # the browser keeps a loop running in this thread
        pool.submit(lambda: asyncio.run(asked())).result()
    return pane.paint()


def event(**fields):
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def test_a_pane_reads_events_however_they_are_cut():
    summary = {"tokens": 3, "end": "natural", "extends": 1, "max": 9, "min": 0}
    content = (
        event(choices=[{"delta": {"reasoning": "a<\u2028"}}])
        + event(choices=[{"delta": {"reasoning": "b Wa"}, "forced": True}])
        + event(choices=[{"delta": {"reasoning": "it c"}, "forced": True}])
        + event(choices=[{"delta": {"content": "\n4"}}])
        + event(choices=[{"delta": {}, "finish_reason": "stop", "thinking": summary}])
        + event(choices=[], usage={"completion_tokens": 8})
        + b"data: [DONE]\n\n"
    )
    for width in (1, 7, len(content)):
        parts = [content[start : start + width] for start in range(0, len(content), width)]
        thinking, answer, line = streamed(*parts)
        assert "a&lt;\u2028b <mark" in thinking and ">Wait</mark> c" in thinking
        assert ">4<" in answer
        assert "3 thinking tokens (ended by itself), 1 extend, 5 answer tokens, " in line


@pytest.mark.parametrize(
    ("parts", "status", "line"),
    [
        ([b'{"error": {"message": "two\\nlines <b>"}}'], 400, "two lines &lt;b&gt;"),
        ([b'{"error": {"message": "full"}}'], 429, "full"),
        ([b"<html>"], 404, "answered 404"),
        ([b"Traceback"], 500, "broke off"),
        ([event(error={"message": "engine"})], 200, "broke off"),
        ([event(choices=[]), httpx.ReadError("gone")], 200, "broke off"),
        ([event(choices=[])], 200, "broke off"),
    ],
)
def test_what_goes_wrong_is_one_line(parts, status, line):
    assert line in streamed(*parts, status=status)[2]
    assert 'role="alert"' in streamed(*parts, status=status)[2]
