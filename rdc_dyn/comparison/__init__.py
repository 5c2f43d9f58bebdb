"""Compare runs: errors against a reference, observed orders of convergence, error floors and costs."""

from rdc_dyn.comparison.comparison import compare
from rdc_dyn.comparison.table import cheapest, show, write_csv
