"""What programs of ours say in English in alarms and of refused price lists, sentence by sentence, in the operator's language."""

import re
from collections.abc import Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

BOUNDARY = re.compile(r"(?<=[.?]) ")
SENTENCES: Sequence[tuple[re.Pattern[str], Promise]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (
            r"The price list of (?P<table>.+) was not imported; the old prices stay in force\.",
            _("The price list of %(table)s was not imported; the old prices stay in force."),
        ),
        (
            r"(?P<count>\d+) price\(s\) of (?P<table>.+) wait for a decision: (?P<names>.+)",
            _("Prices of %(table)s that wait for a decision: %(count)s (%(names)s)"),
        ),
        (
            r"Exchange rates of (?P<source>\S+) could not be had: (?P<why>.+)\.",
            _("No exchange rates could be had (%(source)s): %(why)s."),
        ),
        (
            r"(?P<source>\S+) published (?P<rate>\S+) won on (?P<day>\S+): (?P<why>.+)\.",
            _("%(source)s published %(rate)s won on %(day)s, which is not believed: %(why)s."),
        ),
        (
            r"It is not used; if it is right, enter it by hand\.",
            _("It is not used; if it is right, enter it by hand."),
        ),
        (
            r"(?P<organization>\S+): (?P<count>\d+) sum\(s\) of usage are not what the events add up to\.",
            _("%(organization)s: %(count)s sums of usage are not what the events add up to."),
        ),
        (
            r"`(?P<command>manage\.py rebuild_rollups \S+ \S+)` says where and makes them anew\.",
            _("`%(command)s` says where and makes them anew."),
        ),
        (
            r"No exchange rate holds since (?P<day>\S+) \((?P<zone>\S+)\): usage waits without a price\.",
            _("No exchange rate holds since %(day)s (%(zone)s): usage waits without a price."),
        ),
        (
            r"From (?P<day>\S+) \((?P<zone>\S+)\) no exchange rate will hold: there is none\.",
            _("From %(day)s (%(zone)s) no exchange rate will hold: there is none."),
        ),
        (
            r"From (?P<day>\S+) \((?P<zone>\S+)\) no exchange rate will hold: the last one is of (?P<last>\S+)\.",
            _("From %(day)s (%(zone)s) no exchange rate will hold: the last one is of %(last)s."),
        ),
        (
            r"(?P<count>\d+) tax invoice\(s\) that must be issued by (?P<day>\S+) are not: (?P<numbers>.+)",
            _("Tax invoices that must be issued by %(day)s and are not: %(count)s (%(numbers)s)"),
        ),
        (
            r"The bank took back (?P<amount>\S+ \S+) of (?P<day>\S+) \((?P<payer>.+)\), which had been matched\.",
            _("The bank took back %(amount)s of %(day)s (%(payer)s), which had been matched."),
        ),
        (
            r"(?P<number>\S+) was paid by card although a tax invoice was asked for\.",
            _("%(number)s was paid by card although a tax invoice was asked for."),
        ),
        (r"Publish one before\.", _("Publish one before.")),
        (
            r"The draft of (?P<month>\S+ \S+) has waited for review since (?P<moment>\S+ \S+) UTC\.",
            _("The draft of %(month)s has waited for review since %(moment)s UTC."),
        ),
        (
            r"(?P<organization>\S+) is closed and holds (?P<amount>\S+) (?P<currency>\S+) of its customer's\.",
            _("%(organization)s is closed and holds %(amount)s %(currency)s of its customer's."),
        ),
        (
            r"(?P<organization>\S+) is closed and owes (?P<amount>\S+) (?P<currency>\S+)\.",
            _("%(organization)s is closed and owes %(amount)s %(currency)s."),
        ),
        (
            r"No exchange rate was published for more than (?P<days>\d+) weekdays \((?P<names>.+)\)\.",
            _("No exchange rate was published for more than %(days)s weekdays (%(names)s)."),
        ),
        (
            r"The table (?P<table>\S+) has no partition for (?P<months>.+); "
            r"the log of the worker says why it cannot be made\.",
            _("The table %(table)s has no partition for %(months)s; the log of the worker says why it cannot be made."),
        ),
        (
            r"Credit with (?P<upstream>\S+) runs out: (?P<left>\S+) USD are left\.",
            _("Credit with %(upstream)s runs out: %(left)s dollars are left."),
        ),
        (
            r"The bill of (?P<upstream>\S+) differs from what was recorded on (?P<days>.+)\.",
            _("The bill of %(upstream)s differs from what was recorded on %(days)s."),
        ),
        (
            r"The refund of (?P<amount>\S+ \S+) of (?P<purpose>\S+) failed: (?P<why>.+)",
            _("The refund of %(amount)s (%(purpose)s) failed: %(why)s"),
        ),
        (
            r"(?P<amount>\S+ \S+) of (?P<purpose>\S+) were refunded twice",
            _("%(amount)s (%(purpose)s) were refunded twice"),
        ),
        (
            r"refund (?P<reference>\S+) of (?P<amount>\S+ \S+) at (?P<processor>\S+): (?P<status>\S+)",
            _("Refund %(reference)s of %(amount)s made at %(processor)s: %(status)s"),
        ),
        (
            r"dispute (?P<reference>\S+) of (?P<amount>\S+ \S+) at (?P<processor>\S+): (?P<status>\S+)",
            _("Dispute %(reference)s of %(amount)s at %(processor)s: %(status)s"),
        ),
        (r"The mail servers' reports cannot be read\.", _("The mail servers' reports cannot be read.")),
        (r"Old usage could not be archived: (?P<why>.+)", _("Old usage could not be archived: %(why)s")),
        (r"Violated invariants: (?P<numbers>.+)\.", _("Violated invariants: %(numbers)s.")),
        (r"No month is closed\.", _("No month is closed.")),
        (
            r"Only the months of (?P<organizations>.+) stay open\.",
            _("Only the months of %(organizations)s stay open."),
        ),
        (
            r"Look at the audit, repair, and run `manage\.py audit`\.",
            _("Look at the audit, repair, and run `manage.py audit`."),
        ),
        (r"(?P<host>\S+): (?P<why>.+) \((?P<count>\d+) attempts\)\.", _("%(host)s: %(why)s (%(count)s attempts).")),
        (
            r"(?P<host>\S+) answered (?P<status>\d+) instead of a list\.",
            _("%(host)s answered %(status)s instead of a list."),
        ),
        (r"(?P<host>\S+) answered with (?P<kind>.+), not JSON\.", _("%(host)s answered with %(kind)s, not JSON.")),
        (r"It is longer than (?P<size>\d+) MB\.", _("It is longer than %(size)s MB.")),
        (r"Its next page is on another server, (?P<host>\S+)\.", _("Its next page is on another server, %(host)s.")),
        (r"Its pages do not end after (?P<count>\d+)\.", _("Its pages do not end after %(count)s.")),
        (r"It is not text in UTF-8\.", _("It is not text in UTF-8.")),
        (r"It is empty\.", _("It is empty.")),
        (r"It is a web page \(HTML or XML\), not JSON\.", _("It is a web page (HTML or XML), not JSON.")),
        (r"It is not valid JSON: it ends too early\.", _("It is not valid JSON: it ends too early.")),
        (
            r"It is not valid JSON: line (?P<line>\d+), (?P<why>.+)\.",
            _("It is not valid JSON: line %(line)s, %(why)s."),
        ),
        (r"It is nested too deeply\.", _("It is nested too deeply.")),
        (r"It holds (?P<text>.+), which is no number\.", _("It holds %(text)s, which is no number.")),
        (r"It lists (?P<model>\S+) twice\.", _("It lists %(model)s twice.")),
        (r"It lists more than (?P<count>\S+) models\.", _("It lists more than %(count)s models.")),
        (r"It lists no model at all\.", _("It lists no model at all.")),
        (
            r"It announces (?P<count>\d+) models but lists (?P<listed>\d+)\.",
            _("It announces %(count)s models but lists %(listed)s."),
        ),
        (
            r"It lacks (?P<missing>\d+) of the (?P<count>\d+) models in force, more than (?P<limit>\S+): is it whole\?",
            _("It lacks %(missing)s of the %(count)s models in force, more than %(limit)s: is it whole?"),
        ),
        (
            r"Its first line must name the columns, the first of them 'model'\.",
            _("Its first line must name the columns, the first of them 'model'."),
        ),
        (r"It has two columns for '(?P<name>.+)'\.", _("It has two columns for '%(name)s'.")),
        (r"It has a column '(?P<name>.+)' that we do not know\.", _("It has a column '%(name)s' that we do not know.")),
        (
            r"Line (?P<line>\d+) has (?P<count>\d+) cells; the first line names (?P<columns>\d+) columns\.",
            _("Line %(line)s has %(count)s cells; the first line names %(columns)s columns."),
        ),
        (r"Line (?P<line>\d+) \((?P<model>.+?)\): (?P<why>.+)\.", _("Line %(line)s (%(model)s): %(why)s.")),
        (
            r"The price of (?P<model>\S+) cannot be read: (?P<why>.+)\.",
            _("The price of %(model)s cannot be read: %(why)s."),
        ),
        (r"The price of (?P<model>\S+) has no '(?P<name>\S+)'\.", _("The price of %(model)s has no '%(name)s'.")),
        (
            r"(?P<model>\S+) has no 'pricing': is this OpenRouter's list\?",
            _("%(model)s has no 'pricing': is this OpenRouter's list?"),
        ),
        (
            r"Other prices begin at (?P<at>\S+), this very moment\.",
            _("Other prices begin at %(at)s, this very moment."),
        ),
        (r"Choose another one\.", _("Choose another one.")),
    )
)


def in_sentences(text: str) -> str:
    """Each sentence that is one of ours in the reader's language, any other as it is."""
    return " ".join(_in_words(part) for part in BOUNDARY.split(text))


def _in_words(sentence: str) -> str:
    for pattern, words in SENTENCES:
        if found := pattern.fullmatch(sentence):
            return str(words) % found.groupdict()
    return sentence
