"""Who plays in the demo. Everybody is made up; the registration numbers are public examples that pass the check sum."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from accounts.models import Role

ZONE = ZoneInfo("Asia/Seoul")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who signs in, and as what."""

    email: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A customer with its details for the invoice, its members (the owner first) and the names of its API keys."""

    slug: str
    name: str
    registration_number: str
    representative: str
    address: str
    business_type: str
    business_item: str
    people: tuple[Person, ...]
    keys: tuple[str, ...]
    pays_by: str = "transfer"

    @property
    def owner(self) -> Person:
        return self.people[0]


QUICKSTART = "quickstart"
"""The API key of each company whose secret is written down for the visitor; those of the others are never seen."""

ACME = Company(
    slug="acme",
    name="에이크미 주식회사",
    registration_number="999-81-00029",
    representative="김가상",
    address="서울특별시 강남구 가상로 1 (데모용 가상의 회사)",
    business_type="정보통신업",
    business_item="소프트웨어 개발 및 공급",
    people=(
        Person(email="owner@acme.example", name="김가상", role=Role.OWNER),
        Person(email="developer@acme.example", name="이개발", role=Role.DEVELOPER),
        Person(email="viewer@acme.example", name="박열람", role=Role.VIEWER),
    ),
    keys=("production", "coding-agents", "data-team", "staging", QUICKSTART),
    pays_by="card",
)
GLOBEX = Company(
    slug="globex",
    name="글로벡스 주식회사",
    registration_number="999-81-00034",
    representative="최예시",
    address="경기도 성남시 분당구 예시로 2 (데모용 가상의 회사)",
    business_type="제조업",
    business_item="산업용 로봇",
    people=(Person(email="owner@globex.example", name="최예시", role=Role.OWNER),),
    keys=("production", "research", QUICKSTART),
)
COMPANIES = (ACME, GLOBEX)

OPERATOR = Person(email="operator@invoicedream.example", name="정운영", role=Role.ADMIN)
"""Works for us, so belongs to no organization; the role is not used."""
FOREIGN_GATEWAY = ("litellm-proxy", "LiteLLM proxy")
"""Slug and name of the source that reports usage for both companies over the REST API."""
