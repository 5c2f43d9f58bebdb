"""Check the derivatives of J and measure what they cost, for `rdc-dyn doctor`."""

from rdc_dyn.doctor.check import Check
from rdc_dyn.doctor.machine import machine
from rdc_dyn.doctor.place import Place
from rdc_dyn.doctor.report import Report, diagnose, examine
from rdc_dyn.doctor.show import show

__all__ = ["Check", "Place", "Report", "diagnose", "examine", "machine", "show"]
