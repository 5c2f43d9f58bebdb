"""Scenarios: what a run is to do, read from YAML with every mistake reported at once; imports no numerical library."""

from rdc_dyn.scenario.catalogue import catalogue
from rdc_dyn.scenario.load import from_mapping, load, loads
from rdc_dyn.scenario.problems import Problem, ScenarioError
from rdc_dyn.scenario.schema import Scenario
from rdc_dyn.scenario.templates import template, templates
from rdc_dyn.scenario.write import dump, json_schema

__all__ = [
    "Problem",
    "Scenario",
    "ScenarioError",
    "catalogue",
    "dump",
    "from_mapping",
    "json_schema",
    "load",
    "loads",
    "template",
    "templates",
]
