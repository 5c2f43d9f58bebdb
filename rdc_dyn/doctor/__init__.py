"""Check the derivatives of J and measure what they cost, for `rdc-dyn doctor`."""

from rdc_dyn.doctor.checks import Check
from rdc_dyn.doctor.measure import machine
from rdc_dyn.doctor.report import Report, diagnose, examine, show, show_scan
from rdc_dyn.doctor.trials import scan
