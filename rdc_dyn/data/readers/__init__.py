"""Readers of data sets, one for each kind of file: labels are read at once, inputs on demand."""

from rdc_dyn.data.readers.labelled import DataRows, Labelled, Source, listed
