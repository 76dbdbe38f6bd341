"""How the page looks: its theme, its headline and its style sheet, light and dark."""

from __future__ import annotations

import html

import gradio as gr


def theme() -> gr.themes.Default:
    """Build Gradio's theme: one hue, the fonts of the visitor's system."""
    hues = {"primary_hue": "indigo", "secondary_hue": "indigo", "neutral_hue": "zinc"}
    built = gr.themes.Default(**hues, font=["sans-serif"], font_mono=["monospace"])
    built.set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
    )
    return built


def headline(name: str) -> str:
    """Name the page and its model."""
    return f"<h1>s1</h1><p>Set how long <b>{html.escape(name)}</b> thinks.</p>"


CSS = """
.gradio-container { --font: system-ui, sans-serif; --font-mono: ui-monospace, monospace;
  --s1-thought: #52525b; --s1-mark: #fde68a; --s1-marked: #713f12; --s1-alert: #b91c1c;
  --s1-won: #4338ca; }
.dark { --s1-thought: #b8b8c2; --s1-mark: #78500c; --s1-marked: #fef3c7; --s1-alert: #fca5a5;
  --s1-won: #a5b4fc; }
.gradio-container input[type=range]::-webkit-slider-thumb { background: var(--color-accent); }
.gradio-container input[type=range]::-moz-range-thumb { background: var(--color-accent); }
.dark input[type=range] { --neutral-200: var(--neutral-600); }
main.contain { max-width: 1240px; margin: 0 auto; }
#headline .prose { display: flex; flex-wrap: wrap; align-items: baseline; column-gap: 1rem; }
#headline h1, #headline p { margin: 0; }
.s1-title { margin-bottom: calc(-0.6 * var(--layout-gap)); }
.s1-title h2, .s1-candidates h2 { margin: 0; font-size: 0.8rem; letter-spacing: 0.06em;
  text-transform: uppercase; color: var(--s1-thought); }
.s1-box > .html-container { padding: 0.9rem 1.1rem; border: 1px solid var(--border-color-primary);
  border-radius: var(--radius-lg); }
.s1-text { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.55; }
.s1-thinking > .html-container { background: var(--background-fill-secondary); }
.s1-thinking .s1-text { font-family: var(--font-mono); font-size: 0.85rem;
  color: var(--s1-thought); }
.s1-thinking mark { padding: 0.05em 0.3em; border-radius: 0.25em; font-weight: 600;
  background: var(--s1-mark); color: var(--s1-marked); }
.s1-answer > .html-container { border-left: 4px solid var(--color-accent); }
.s1-answer .s1-text { font-size: 1.2rem; font-weight: 600; color: var(--body-text-color); }
.s1-counts .prose { font-size: 0.85rem; font-variant-numeric: tabular-nums; }
.s1-counts [role=status] { color: var(--s1-thought); }
.s1-counts [role=alert] { color: var(--s1-alert); font-weight: 600; }
.s1-counts dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 0.9rem;
  margin: 0; }
.s1-counts .prose dt { font-weight: 600; color: var(--s1-thought); }
.s1-counts .prose dd { margin: 0; overflow-wrap: anywhere; color: var(--s1-thought); }
.s1-candidates .prose .s1-cards { display: grid; gap: 0.6rem; margin: 0.5rem 0 0; padding: 2px;
  grid-template-columns: repeat(auto-fill, minmax(8.75rem, 1fr)); list-style: none;
  max-height: 48rem; overflow-y: auto; }
.s1-cards:focus-visible, .s1-said summary:focus-visible {
  outline: 2px solid var(--color-accent); outline-offset: 0; }
.s1-candidates .prose .s1-card { display: flex; flex-direction: column; gap: 0.4rem; margin: 0;
  padding: 0.6rem 0.7rem; border: 1px solid var(--border-color-primary);
  border-radius: var(--radius-lg); background: var(--background-fill-secondary); }
.s1-candidates .prose .s1-winner { border-color: var(--color-accent);
  box-shadow: 0 0 0 1px var(--color-accent); background: var(--background-fill-primary); }
.s1-card header, .s1-card footer { display: flex; gap: 0 0.5rem; flex-wrap: wrap;
  justify-content: space-between; font-size: 0.8rem; font-variant-numeric: tabular-nums;
  color: var(--s1-thought); }
.s1-card footer { margin-top: auto; justify-content: start; }
.s1-card header span, .s1-card footer span { color: var(--s1-thought); }
.s1-card strong { color: var(--s1-won); }
.s1-card.s1-failed header span { color: var(--s1-alert); }
.s1-said { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.4; }
.s1-winner .s1-said { font-weight: 600; }
.s1-none { color: var(--s1-thought); font-style: italic; }
.s1-said summary { cursor: pointer; }
.s1-card:has(.s1-said[open]) { grid-column: 1 / -1; }
.s1-winner .s1-said[open] { font-weight: 400; }
.s1-said[open] summary span { display: none; }
.s1-said[open] summary::after { content: "fold"; color: var(--s1-thought); }
@media (max-width: 640px) { .s1-candidates .prose .s1-cards { max-height: none; } }
"""
