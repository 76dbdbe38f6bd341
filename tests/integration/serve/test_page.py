"""The page in a browser, on the service and its engine."""

from __future__ import annotations

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


def pick(page, strategy):
    """Choose a strategy with the mouse and wait for its fields."""
    page.click("#strategy input")
    page.click(f'#strategy [role=option][aria-label="{strategy}"]')
    page.wait_for_selector("#total-tokens")


def write(page, name, text):
    page.fill(f"#{name} textarea, #{name} input", text)


def stopped(service):
    """Tell whether the engine comes to rest."""
    deadline = time.monotonic() + 20
    while service.num_running() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not service.num_running()


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
        assert stopped(service)
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


@pytest.mark.engine
@pytest.mark.multiprocess
def test_a_strategy_shows_its_candidates_side_by_side(service, opened, shoot):
    page = opened(service.url)
    assert not page.is_visible("#samples") and not page.is_visible("#total-tokens")
    pick(page, "majority")
    assert page.input_value("#samples input[type=number]") == "8"  # the strategy's own
    assert page.input_value("#temperature input[type=number]") == "0.7"  # greedy ones are the same
    write(page, "parameters", "tie=first")
    write(page, "total-tokens", "480")
    page.check("#compare input")
    page.wait_for_selector("#second-maximum")
    budgets = dict.fromkeys(("first_maximum", "first_minimum"), 30)
    budgets |= dict.fromkeys(("second_maximum", "second_minimum"), 60)
    ask(page, "What is 1 + 1?", samples=4, **budgets)
    for column, thinking in (("first", 30), ("second", 60)):
        told = counts(page, column)
        assert "4 started, 4 finished, 0 aborted" in told
        assert re.search(r"4 samples voted|no sample gave an answer; less than", told), "cut"
        assert int(re.search(r"([\d,]+) in all", told)[1].replace(",", "")) <= 480
        cards = page.locator(f"#{column}-candidates .s1-card")
        assert cards.count() == 4
        assert all(f"{thinking} thinking" in text for text in cards.all_inner_texts())
        winner = page.locator(f"#{column}-candidates .s1-winner b").inner_text()
        assert f"{winner}: {thinking} thinking tokens (cut at the maximum)" in told
        left, right = cards.nth(0).bounding_box(), cards.nth(1).bounding_box()
        assert left["x"] + left["width"] <= right["x"] and left["y"] == right["y"]
    shoot(page, "strategy-compare")

    page.uncheck("#compare input")
    page.set_viewport_size({"width": 390, "height": 900})
    shoot(page, "strategy-narrow")
    folded = page.locator("#first-candidates summary").first
    if folded.count():
        folded.press("Enter")
        page.wait_for_selector("#first-candidates details[open]")
    write(page, "parameters", "k=1")
    ask(page, "What is 1 + 1?")
    assert "majority has no parameter 'k'" in refusal(page)
    write(page, "parameters", "nonsense")
    ask(page, "What is 1 + 1?")
    page.locator("#first-counts", has_text="name:key=value").wait_for()


@pytest.mark.engine
@pytest.mark.multiprocess
def test_a_strategy_is_seen_at_work_and_stopped(service, opened):
    page = opened(service.url)
    pick(page, "majority")
    ask(page, "How many r in raspberry?", samples=12, first_minimum=1700)
    page.locator("#first-counts", has_text="12 started, 0 finished, 0 aborted").wait_for()
    page.wait_for_selector("#first-thinking .s1-text:not(:empty)")
    assert service.num_running() == 12
    page.click("#stop")
    assert refusal(page) == "Stopped." and stopped(service)


@pytest.mark.multiprocess
def test_where_there_are_keys_the_page_asks_for_one(opened, tmp_path):
    from fastapi import FastAPI

    from s1_serve.config import ServiceConfig
    from s1_serve.server import access
    from s1_serve.server.telemetry import Telemetry
    from s1_serve.server.ui import page

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
