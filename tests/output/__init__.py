"""Tests of rdc_dyn.output."""
