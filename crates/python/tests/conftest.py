"""A model that most tests use."""

import csv

import pytest
from corpus import BENCH

import stemson


@pytest.fixture(scope="session")
def gbm():
    return stemson.load(BENCH / "gbm100d6/model.zip")


@pytest.fixture(scope="session")
def gbm_rows():
    with open(BENCH / "gbm100d6/input.csv", newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if v != ""} for row in csv.DictReader(file)]
