"""Reports: one self-contained HTML page on a run or a sweep."""

from rdc_dyn.output.report.page import write_page
from rdc_dyn.output.report.run import run_report
from rdc_dyn.output.report.sweep import sweep_report

__all__ = ["run_report", "sweep_report", "write_page"]
