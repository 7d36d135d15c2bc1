"""Runs the Autobahn suite from a folder of packages (Python 2.7)."""

import site
import sys

site.addsitedir(sys.argv.pop(1))

from autobahntestsuite.wstest import run  # noqa: E402  (found only now)

run()
