"""The status page: all that is known, for people, as HTML.

`question` is what the address asks for, `view` decides what is shown, `sparkline` draws, and the
template says where it stands.  `page` joins them.
"""

from maestro_exporter.statuspage.page import ASSETS, CONTENT_TYPE, page
from maestro_exporter.statuspage.question import PARAMETERS, Question
from maestro_exporter.statuspage.view import Known

__all__ = ["ASSETS", "CONTENT_TYPE", "PARAMETERS", "Known", "Question", "page"]
