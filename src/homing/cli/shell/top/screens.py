"""The screens that lie over the tables: everything about one process, and the keys."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from ..detail import detail
from ..values import text

KEYS = (
    ("Tab, 1, 2", "processes or sockets"),
    ("up, down", "choose a row"),
    ("Enter", "open it: everything about one process or socket"),
    ("< >", "sort by the column before, or the next; or click on a heading"),
    ("r", "reverse the order"),
    ("/", "filter by name, behavior, address or application; Enter keeps it, Esc ends it"),
    ("Space", "pause, or continue"),
    ("Esc", "back"),
    ("q, Ctrl-C", "quit"),
)

WORDS = (
    ("waiting", "messages in the mailbox"),
    ("oldest", "age of the oldest of them; >: it is older"),
    ("run%", "share of the time that its callbacks ran"),
    ("in/s, out/s", "messages handled and sent; packets received and sent"),
    ("queue, sendq", "datagrams read but not delivered; datagrams that wait to be sent"),
    ("lag", "longest delay of the event loop in the last second"),
    ("drops", "datagrams lost, by direction and cause, since the start; and now, per second"),
)


class Over(ModalScreen[None]):
    """A text over the tables. Esc and q close it; the keys of the tables do nothing meanwhile."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "Back")]

    def __init__(self, shown: Text) -> None:
        super().__init__()
        self._shown = shown

    def compose(self) -> ComposeResult:
        """Yields the text, which scrolls, and the keys."""
        with VerticalScroll():
            yield Static(self._shown, id="text", markup=False)
        yield Footer(show_command_palette=False)

    def show(self, shown: Text) -> None:
        """Replaces the text."""
        self._shown = shown
        self.query_one("#text", Static).update(shown)

    def action_close(self) -> None:
        """Goes back to the tables."""
        self.dismiss(None)


class Detail(Over):
    """Everything about one process or meta-process, kept up to date."""

    def __init__(self, target: str) -> None:
        super().__init__(Text("..."))
        self.target = target
        self._answer: dict[str, Any] | None = None
        self._problem = ""

    def update(self, answer: dict[str, Any] | None, problem: str = "") -> None:
        """Shows an answer of the node, or above the last one why there is none."""
        self._answer, self._problem = answer or self._answer, problem
        self.render_answer()

    def render_answer(self) -> None:
        """Renders the last answer for the width of the screen."""
        lines = [Text(text(self._problem), "bold red"), Text()] if self._problem else []
        if self._answer is not None:
            lines += detail(self._answer, self.size.width - 4)
        self.show(Text("\n").join(lines))

    def on_resize(self) -> None:
        """The columns that fit are others now."""
        self.render_answer()


def help_text() -> Text:
    """Returns the keys and the words of the tables."""
    found = Text()
    for heading, pairs in (("Keys", KEYS), ("Columns", WORDS)):
        found.append(f"{heading}\n", "bold")
        for name, meaning in pairs:
            found.append(f"  {name:<14}{meaning}\n")
        found.append("\n")
    return found
