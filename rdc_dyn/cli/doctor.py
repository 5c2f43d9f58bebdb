"""`rdc-dyn doctor`: describe this machine, or check the derivatives of a scenario."""

import sys
from pathlib import Path

import click

from rdc_dyn.cli.shared import DEVICE, OVERRIDE, READS, SCENARIO, TRUST, Documented
from rdc_dyn.status import ExitCode, UserError


@click.command(
    cls=Documented,
    examples=("rdc-dyn doctor", "rdc-dyn doctor my.yaml --device cuda", "rdc-dyn doctor my.yaml --scan"),
    exits=READS | {ExitCode.NUMERICAL: "a derivative is wrong, or a scan found no start that responds"},
)
@click.argument("scenario", required=False, type=SCENARIO)
@OVERRIDE
@DEVICE
@TRUST
@click.option("--scan", "scans", is_flag=True, help="Look for lam, gamma and a weight prior at which D and C respond.")
def doctor(scenario: Path | None, overrides: tuple[str, ...], device: str | None, trust: bool, scans: bool) -> None:
    """Describe this machine, or check the derivatives of SCENARIO and measure what they cost."""
    if scenario is None and (overrides or scans):
        raise UserError(f"doctor: {'--set' if overrides else '--scan'} is about a scenario, and none was given")
    if scenario is None:
        from rdc_dyn.doctor import machine, show

        show((), machine(device))
        return
    from rdc_dyn import scenario as scenarios

    document = scenarios.read(scenario, overrides)
    loaded = scenarios.absolute(scenarios.resolve(document), scenario.resolve().parent)
    from rdc_dyn.doctor import diagnose, scan, show, show_scan
    from rdc_dyn.running.own_files import own_networks

    loaded, networks = own_networks(loaded, None, document, trust=trust)
    if scans:
        rho = getattr(loaded.objective, "weight_prior_precision", None)
        found = show_scan(scan(loaded, scenario.resolve().parent, device, networks), rho)
        sys.exit(ExitCode.COMPLETE if found else ExitCode.NUMERICAL)
    report = diagnose(loaded, scenario.resolve().parent, device, networks)
    show(report.checks, report.measures)
    sys.exit(ExitCode.COMPLETE if report.healthy else ExitCode.NUMERICAL)
