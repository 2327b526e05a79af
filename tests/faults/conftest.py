"""What is made once for all tests of faults."""

from __future__ import annotations

import pytest

from tests.faults.certificates import Certificates

pytest.register_assert_rewrite("tests.faults.lab", "tests.faults.matrix")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))
