"""Business days in Korea, and until when a tax invoice must be issued: the 10th of the following month, or the next business day.

Public holidays are those of the presidential decree 관공서의 공휴일에 관한 규정: some on the same day of every year, the others
(lunar ones, substitutes, elections) as the yearly calendar of the Korea Astronomy and Space Science Institute (월력요항) has them.
What is decreed later goes into the setting PUBLIC_HOLIDAYS. A holiday that is missing here only makes a deadline earlier.
"""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

SEOUL = ZoneInfo("Asia/Seoul")
SATURDAY = 5
DEADLINE_DAY = 10
EVERY_YEAR = frozenset({(1, 1), (3, 1), (5, 5), (6, 6), (8, 15), (10, 3), (10, 9), (12, 25)})
"""Month and day: New Year, Independence, Children, Memorial, Liberation, Foundation, Hangeul, Christmas."""
DATED = frozenset(
    date.fromisoformat(f"{year}-{day}")
    for year, days in {
        2025: "01-27 01-28 01-29 01-30 03-03 05-06 06-03 10-05 10-06 10-07 10-08",
        2026: "02-16 02-17 02-18 03-02 05-24 05-25 06-03 08-17 09-24 09-25 09-26 10-05",
        2027: "02-06 02-07 02-08 02-09 05-13 08-16 09-14 09-15 09-16 10-04 10-11 12-27",
        2028: "01-26 01-27 01-28 05-02 10-02 10-04 10-05",
    }.items()
    for day in days.split()
)
"""Seollal, Chuseok, Buddha's birthday, substitutes and elections."""


def is_business_day(day: date) -> bool:
    """Whether offices are open: no Saturday, Sunday or public holiday."""
    if day.weekday() >= SATURDAY or (day.month, day.day) in EVERY_YEAR:
        return False
    return day not in DATED and day.isoformat() not in settings.PUBLIC_HOLIDAYS


def business_day_from(day: date) -> date:
    """`day`, or the next business day after it."""
    while not is_business_day(day):
        day += timedelta(days=1)
    return day


def issue_deadline(write_date: date) -> date:
    """The last day to issue a tax invoice dated `write_date` (부가가치세법 제34조 제3항, 국세기본법 제5조)."""
    return business_day_from(day_of_following_month(write_date, DEADLINE_DAY))


def day_of_following_month(day: date, number: int) -> date:
    """The `number`th (1 to 28) of the month after `day`'s."""
    following = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
    return following.replace(day=number)


def day_in_seoul(moment: datetime) -> date:
    """The day by which the tax office counts."""
    return moment.astimezone(SEOUL).date()
