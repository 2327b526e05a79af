"""Writes the console scripts that the arguments name into this environment; removes all others.

pip's have the absolute path of the environment in their first line. These look for the Python
that lies beside them, however they are called, also through links.
"""

import sys
from importlib.metadata import entry_points
from pathlib import Path

# A shell reads no further than its own line, and can make sense of the rest all the same.
TEXT = """\
#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")/python" -I "$0" "$@"
: <<'# end of Python'
'''
import sys
from {module} import {function}
sys.exit({function}())
# end of Python
"""

folder = Path(sys.prefix, "bin")
scripts = {script.name: script for script in entry_points(group="console_scripts")}
for path in folder.iterdir():
    if not path.name.startswith("python"):
        path.unlink()
for name in sys.argv[1:]:
    path = folder / name
    path.write_text(TEXT.format(module=scripts[name].module, function=scripts[name].attr))
    path.chmod(0o755)
