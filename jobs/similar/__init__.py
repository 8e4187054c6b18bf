"""Similar won deals: which won deals resemble an open one, why, and how much that can be trusted (rules S1 to S10).

`match_deals` is the whole of it as a function of one table; `weekly` runs it week by week.
"""

from jobs.similar.attributes import Attribute, attributes_of
from jobs.similar.match import Matches, match_deals
from jobs.similar.rules import Rules

__all__ = ["Attribute", "Matches", "Rules", "attributes_of", "match_deals"]
