"""`oviya doctor`: shows what is missing on this machine, and how to install it."""

from __future__ import annotations

import os
from dataclasses import asdict

import typer

from oviya.cli.local.checks import Check, Verdict, all_checks
from oviya.cli.local.plan import plan_mesh
from oviya.cli.options import AsJson
from oviya.cli.output import EXIT_FAILED, Output, exit_on_error

MARKS = {
    Verdict.OK: ("ok      ", "green"),
    Verdict.ABSENT: ("absent  ", "yellow"),
    Verdict.MISSING: ("missing ", "bold red"),
}


def doctor(as_json: AsJson = False) -> None:
    """Say what is missing to run Oviya on this machine, and how to get it."""
    output = Output(as_json)
    with exit_on_error(output):
        checks: list[Check] = []
        for check in all_checks(plan_mesh(os.environ)):
            checks.append(check)
            output.text(MARKS[check.verdict], (f"{check.name:11}", "bold"), check.detail)
            if check.verdict is not Verdict.OK and check.fix:
                output.text(" " * 19, ("get it: ", "dim"), check.fix)
        missing = [check.name for check in checks if check.verdict is Verdict.MISSING]
        verdict = f"Missing: {', '.join(missing)}." if missing else "All that the mesh needs is here."
        output.text("")
        output.text((verdict, "bold red" if missing else "bold green"))
        output.document({"ok": not missing, "checks": [asdict(check) for check in checks]})
        if missing:
            raise typer.Exit(EXIT_FAILED)
