"""Tests of rdc_dyn.scenario."""
