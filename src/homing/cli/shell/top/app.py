"""The application of `homing top`: a summary of the node, and its processes or sockets as a table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable, Footer, Input, Static

from ..asking import of_cluster
from ..columns import for_answer, missing
from ..table import Column, Layout, Row, column_at, layout, lines
from ..values import rate, seconds, size, text
from .history import History, sparkline
from .poller import Look, Poller, Request
from .screens import Detail, Over, help_text
from .view import View

MOST_SOCKETS = 1000
"""Most sockets whose rates and drops are added up."""

SCROLLBAR = 1

PATIENCE = 2.0
"""Seconds that an answer may take before the screen says that it is waited for."""

CSS = """
Screen, Over, DataTable, Input, Footer, VerticalScroll { background: ansi_default; color: ansi_default; }
#summary, #status { height: auto; width: 100%; }
#status { text-style: reverse; }
DataTable { height: 1fr; scrollbar-size-vertical: 1; }
DataTable, VerticalScroll { scrollbar-color: ansi_bright_black; scrollbar-background: ansi_default; }
DataTable > .datatable--header { background: ansi_default; color: ansi_default; text-style: bold; }
DataTable > .datatable--header-hover, DataTable > .datatable--hover { background: ansi_default; text-style: underline; }
DataTable > .datatable--cursor { background: ansi_default; color: ansi_default; text-style: reverse; }
Input { display: none; height: 1; border: none; padding: 0; }
"""


class Looked(Message):
    """The poller has asked the node."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look


class Top(App[None]):
    """name, path: the node and its control socket. interval: seconds between two rounds of requests. tables: see
    `views`. cluster: of all nodes of the cluster."""

    CSS = CSS
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("tab", "switch", "Table", priority=True),
        Binding("1", "table(0)", show=False),
        Binding("2", "table(1)", show=False),
        Binding("enter", "open", "Open"),
        Binding("less_than_sign,comma", "sort(-1)", "Sort", key_display="< >"),
        Binding("greater_than_sign,full_stop", "sort(1)", show=False),
        Binding("r", "reverse", "Reverse"),
        Binding("slash", "filter", "Filter", key_display="/", priority=True),  # the next key is for the filter
        Binding("space", "pause", "Pause"),
        Binding("escape", "clear_filter", show=False),
    ]

    def __init__(self, name: str, path: Path, interval: float, tables: list[View], cluster: bool = False) -> None:
        super().__init__(ansi_color=True)
        self.node_name = name
        self._views = tables
        self._cluster = cluster
        self._place = 0
        self._look: Look | None = None
        self._answered = time.monotonic()
        self._error = ""
        self._history = History()
        self._layout = Layout([], [], [])
        self._rows: list[Row] = []
        self._poller = Poller(name, path, interval, self._requests, lambda look: self.post_message(Looked(look)))

    @property
    def view(self) -> View:
        """The table that is shown."""
        return self._views[self._place]

    def compose(self) -> ComposeResult:
        """Yields the summary, the table, the filter and the keys."""
        yield Static(id="summary", markup=False)
        yield DataTable(cursor_type="row", id="table")
        yield Static(id="status", markup=False)
        yield Input(
            placeholder="filter (Enter keeps it, Esc ends it)", id="filter", value=self.view.text, select_on_focus=False
        )
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begins to ask the node."""
        self._table.focus()
        self._show_summary()
        self.set_interval(1.0, self._show_summary)  # a node that does not answer tells nothing
        self._poller.start()

    def on_unmount(self) -> None:
        """Asks no more."""
        self._poller.stop()

    @property
    def _table(self) -> DataTable[Text]:
        return self.screen_stack[0].query_one("#table", DataTable)

    # --- what the node says -------------------------------------------------------------------------------

    def _requests(self) -> dict[str, Request]:
        """The requests of one round. Called on the poller's thread."""
        asked: dict[str, Request] = {
            "node": {"what": "node"},
            "all": {"what": "sockets", "limit": MOST_SOCKETS},
            "table": self.view.request(),
        }
        over = self.screen_stack[-1] if self.screen_stack else None
        if isinstance(over, Detail):
            asked["process"] = {"what": "process", "target": over.target}
        return {name: of_cluster(request) for name, request in asked.items()} if self._cluster else asked

    def on_looked(self, message: Looked) -> None:
        """Shows the answers of the node, or that it does not answer."""
        look = message.look
        self._error = look.error or look.refused.get("table", "")
        if not look.error:
            self._answered = look.time
            self._look = look
            if "node" in look.answers and "all" in look.answers:
                self._history.add(look.answers["node"], look.answers["all"]["sockets"], look.time)
        self._show_summary()
        self._show_table()
        over = self.screen
        if isinstance(over, Detail):
            over.update(look.answers.get("process"), self._waiting() or look.refused.get("process", ""))

    def _waiting(self) -> str:
        """The line shown while the node does not answer."""
        silent = time.monotonic() - self._answered
        if not self._error and (self._poller.paused or silent < self._poller.interval + PATIENCE):
            return ""
        why = f": {text(self._error)}" if self._error else ""
        return f"waiting for {text(self.node_name)} since {seconds(float(round(silent)))}{why}"

    def _show_summary(self) -> None:
        waiting = self._waiting()
        lines = [Text(waiting, "bold red")] if waiting else []
        if self._look is None and not lines:
            lines = [Text(f"asking {text(self.node_name)} ...")]
        if self._look is not None and "node" in self._look.answers:
            style = "dim" if waiting else ""
            lines += [Text(line, "bold red") for line in missing(self._look.answers["node"])]
            lines += [Text(line, style, no_wrap=True, overflow="ellipsis") for line in self._summary()]
        self.screen_stack[0].query_one("#summary", Static).update(Text("\n").join(lines))

    def _summary(self) -> list[str]:
        node, width = self._look.answers["node"], self.size.width  # type: ignore[union-attr]
        words = [
            text(node["name"]),
            *(["draining"] if node["draining"] else []),
            f"up {seconds(float(int(node['uptime'])))}",
            f"pid {node['os_pid']}",
            f"memory {size(node['memory'])}",
            f"lag {seconds(node['loop_lag'])}",
            f"crashes {node['crashes']}",
            f"stalls {node['stalls']}",
        ]
        for needless in ("pid ", "memory ", "up "):
            if len("  ".join(words)) > width:
                words = [word for word in words if not word.startswith(needless)]
        pairs = (("in", "packets_in_rate"), ("out", "packets_out_rate"), ("dropped", "dropped"))
        each = (width - 4) // 3
        rates = []
        for word, name in pairs:
            values = self._history.rates[name]
            label = f"{word} {rate(values[-1] if values else None)}/s "
            rates.append(label + sparkline(values, max(0, each - len(label))))
        drops = self._history.causes()
        return ["  ".join(words), "  ".join(rates), f"drops  {drops or 'none'}"]

    def _show_table(self) -> None:
        if self._look is not None and "table" in self._look.answers:
            self._rows = self._look.answers["table"].get(self.view.what, self._rows)
        self._draw_table()
        self._show_status()

    def _draw_table(self) -> None:
        table, view = self._table, self.view
        selected, at_top = self._selected(), table.cursor_row <= 0
        width = max(20, self.size.width - 2 - SCROLLBAR)
        self._layout = layout(self._with_node(view), self._rows, width, view.heading)
        heading, *rows = lines(self._layout, self._rows, view.heading)
        scroll = table.scroll_y
        table.clear(columns=True)
        table.add_column(heading, width=width)  # one column: textual takes long for each cell
        table.add_rows([row] for row in rows)
        places = [place for place, row in enumerate(self._rows) if view.target(row) == selected]
        if places and not at_top:
            table.move_cursor(row=places[0], scroll=False)
        table.scroll_to(y=scroll, animate=False)

    def _with_node(self, view: View) -> list[Column]:
        return for_answer(view.columns, self._look.answers.get("table", {}) if self._look is not None else {})

    def _selected(self) -> str:
        place = self._table.cursor_row
        return self.view.target(self._rows[place]) if 0 <= place < len(self._rows) else ""

    def _show_status(self) -> None:
        view, look = self.view, self._look
        total = look.answers.get("table", {}).get("total", 0) if look is not None else 0
        words = [f"{view.what}: {len(self._rows)}" + (f" of {total}" if len(self._rows) < total else "")]
        words.append(f"by {view.sorted_by}" + (", reversed" if view.reverse else ""))
        if view.text:
            words.append(f"filter {text(view.text)}")
        if self._poller.paused:
            words.append("PAUSED")
        words.append("Enter opens a row")
        self.screen_stack[0].query_one("#status", Static).update(Text("  ".join(words).ljust(self.size.width)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a filter is typed, / is a character."""
        return action != "filter" or not isinstance(self.focused, Input)

    # --- keys ---------------------------------------------------------------------------------------------

    def _again(self) -> None:
        self._show_status()
        self._poller.ask_now()

    def action_switch(self) -> None:
        """Shows the other table."""
        self.action_table(1 - self._place)

    def action_table(self, place: int) -> None:
        """Shows a table."""
        if place != self._place:
            self._place, self._rows = place, []
            self._table.clear(columns=True)
            self._again()

    def action_sort(self, step: int) -> None:
        """Sorts by another column."""
        self.view.move_sort(step, self._layout.columns)
        self._again()

    def action_reverse(self) -> None:
        """Reverses the order."""
        self.view.reverse = not self.view.reverse
        self._again()

    def on_click(self, event: events.Click) -> None:
        """Sorts by the column whose heading was clicked."""
        if event.widget is self._table and event.style.meta.get("row") == -1:
            column = column_at(self._layout, event.x - 1)
            if column is not None:
                self.view.sort_by(column)
                self._again()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Opens the row: Enter, or a click."""
        self.action_open()

    def action_open(self) -> None:
        """Shows everything about the process or socket of the chosen row."""
        selected = self._selected()
        if selected:
            self.push_screen(Detail(selected))
            self._poller.ask_now()

    def action_help(self) -> None:
        """Shows the keys."""
        self.push_screen(Over(help_text()))

    def action_pause(self) -> None:
        """Pauses, or continues."""
        self._poller.paused = not self._poller.paused
        self._again()

    def action_filter(self) -> None:
        """Opens the field for the filter."""
        field = self.query_one("#filter", Input)
        field.value = self.view.text
        field.display = True
        self.screen.set_focus(field)  # at once: the next key may be here already

    def action_clear_filter(self) -> None:
        """Ends the filter."""
        self._filter("")
        self._close_filter()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filters while it is typed."""
        if self.focused is event.input:
            self._filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keeps the filter."""
        self._close_filter()

    def _filter(self, text: str) -> None:
        if self.view.text != text:
            self.view.text = text
            self._again()

    def _close_filter(self) -> None:
        self.query_one("#filter", Input).display = False
        self.screen.set_focus(self._table)

    def on_resize(self, event: events.Resize) -> None:
        """The columns that fit are others now."""
        if self._look is not None:
            self._show_summary()
            self._draw_table()
