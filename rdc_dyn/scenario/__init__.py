"""Read scenarios from YAML and report every mistake at once; importing this loads no numerical library."""

from rdc_dyn.scenario.catalogue import catalogue, example, examples, located, template, templates
from rdc_dyn.scenario.document import Document
from rdc_dyn.scenario.load import Source, dump, dump_tree, from_mapping, json_schema, load, loads, read, resolve
from rdc_dyn.scenario.overrides import apply_overrides
from rdc_dyn.scenario.paths import absolute, portable
from rdc_dyn.scenario.scenario import Scenario
from rdc_dyn.scenario.written import Mistake, ScenarioError
