"""Reports: one self-contained HTML page on a run or a sweep."""

from rdc_dyn.read.report.run import run_report
from rdc_dyn.read.report.sweep import sweep_report
