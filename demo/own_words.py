"""What people of the demo wrote themselves: it stands in every language as it was written."""

WELCOME = "첫 달 환영 할인 5% (데모)"
"""Why Globex's first month has a discount."""
OUTAGE = "장애가 있던 날의 사용분을 돌려드립니다. (데모)"
"""Why its first invoice was put right."""
LABORATORY = "연구소 확대 (데모)"
"""What its quotation is for."""
WRITTEN = (WELCOME, OUTAGE, LABORATORY)
