"""Settings of every process, from the environment. `make run` provides it all; see README.md for the real services."""

import hashlib
import hmac
import os
import re
import sysconfig
from decimal import Decimal
from pathlib import Path
from typing import Any

import environ
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent

# -- process ----------------------------------------------------------------------------------------------------------
SECRET_KEY = env("SECRET_KEY")
if len(SECRET_KEY) < 32:
    raise ImproperlyConfigured(
        "SECRET_KEY must have 32 characters or more: sessions and database passwords are derived from it."
    )
DEBUG = env.bool("DEBUG", default=False)
DEMO = env.bool("DEMO", default=False)
"""True on the embedded demo only: plain HTTP cookies, demo banner, example rates."""
VAR_DIR = Path(env("VAR_DIR", default=str(BASE_DIR / "var")))

SITE_URL = env("SITE_URL", default="http://127.0.0.1:8000")
GATEWAY_URL = env("GATEWAY_URL", default="http://127.0.0.1:8001/v1")
CONSOLE_URL = env("CONSOLE_URL", default="http://127.0.0.1:8002")
MAILBOX_URL = env("MAILBOX_URL", default="")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "accounts",
    "catalog",
    "ledger",
    "metering",
    "billing",
    "dashboard",
    "console",
    "gateway",
    "demo",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "dashboard.security_headers.RefuseNulMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "dashboard.security_headers.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "dashboard.languages.ReadersLanguageMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dashboard.context.site",
            ],
        },
    },
]

# -- PostgreSQL: one database, three roles (ARCHITECTURE.md says which process uses which) -----------------------------
DATABASE_ROLE_PREFIX = env("DATABASE_ROLE_PREFIX", default="invoicedream")


def derive_password(role: str) -> str:
    """The password of a database role that has no URL of its own: an HMAC of SECRET_KEY, so nothing more must be kept."""
    return hmac.new(SECRET_KEY.encode(), f"database-role:{role}".encode(), hashlib.sha256).hexdigest()


def database_as(role: str) -> dict[str, Any]:
    """Django's settings of the connection that logs in as `role` ("owner", "app", "system")."""
    own_url = f"DATABASE_{role.upper()}_URL"
    config: dict[str, Any] = env.db_url(own_url if own_url in env.ENVIRON else "DATABASE_URL")
    if own_url not in env.ENVIRON:
        config |= {"USER": f"{DATABASE_ROLE_PREFIX}_{role}", "PASSWORD": derive_password(role)}
    config["ENGINE"] = "django.db.backends.postgresql"
    config["CONN_MAX_AGE"] = 0 if role == "owner" else 600
    config["CONN_HEALTH_CHECKS"] = True
    config.setdefault("OPTIONS", {})
    config["OPTIONS"] |= {
        "application_name": f"invoicedream-{role}",
        "connect_timeout": 5,
        "options": "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s",
    }
    return config


DATABASES = {"default": database_as("app"), "system": database_as("system"), "owner": database_as("owner")}
DATABASE_ROUTERS = ["accounts.database_router.OneDatabaseRouter"]

# -- Redis: a doorbell, a cache, a throttle; never the truth ----------------------------------------------------------
REDIS_URL = env("REDIS_URL")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 600
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")

SWEEP_PACE = env.float("SWEEP_PACE", default=1.0)
"""Factor on how often beat sweeps, and on how long a sweep leaves alone what somebody may still be at. Tests that have no
time to wait set a small one."""


def sweep(task: str, *, every: float) -> dict[str, Any]:
    """Beat's entry for `task`, every so many seconds. One that nobody took is forgotten when the next is due."""
    seconds = every * SWEEP_PACE
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


CELERY_BEAT_SCHEDULE = {
    "create-partitions": sweep("metering.tasks.create_partitions", every=3600),
    "rate-unrated-usage": sweep("metering.tasks.rate_unrated_usage", every=30),
    "prove-days": sweep("metering.tasks.prove_days", every=3600),
    "stop-runaway-keys": sweep("metering.tasks.stop_runaway_keys", every=10),
    "question-expired-holds": sweep("ledger.tasks.question_expired_holds", every=15),
    "expire-credits": sweep("ledger.tasks.expire_credits", every=60),
    "answer-questions": sweep("gateway.tasks.answer_questions", every=15),
    "watch-upstream-credit": sweep("gateway.tasks.watch_upstream_credit", every=600),
    "compare-upstream-bills": sweep("gateway.tasks.compare_upstream_bills", every=6 * 3600),
    "forget-call-keys": sweep("ledger.tasks.forget_call_keys", every=3600),
    "close-due-periods": sweep("billing.tasks.close_due_periods", every=60),
    "close-organizations": sweep("billing.tasks.close_organizations", every=15),
    "watch-closed-organizations": sweep("billing.tasks.watch_closed_organizations", every=300),
    "sweep-exports": sweep("billing.tasks.sweep_exports", every=30),
    "watch-drafts": sweep("billing.tasks.watch_drafts", every=600),
    "sweep-processor-events": sweep("billing.tasks.sweep_processor_events", every=15),
    "resolve-unknown-payments": sweep("billing.tasks.resolve_unknown_payments", every=15),
    "charge-due-invoices": sweep("billing.tasks.charge_due_invoices", every=300),
    "sweep-card-setups": sweep("billing.tasks.sweep_card_setups", every=30),
    "top-up-automatically": sweep("billing.tasks.top_up_automatically", every=15),
    "forget-removed-cards": sweep("billing.tasks.forget_removed_cards", every=3600),
    "resolve-unknown-refunds": sweep("billing.tasks.resolve_unknown_refunds", every=15),
    "check-registration-numbers": sweep("billing.tasks.check_registration_numbers", every=60),
    "run-tax-invoices": sweep("billing.tasks.run_tax_invoices", every=60),
    "dun": sweep("billing.tasks.dun", every=300),
    "restore-paid": sweep("billing.tasks.restore_paid", every=15),
    "sweep-documents": sweep("billing.tasks.sweep_documents", every=60),
    "sweep-evidence": sweep("billing.tasks.sweep_evidence", every=60),
    "sweep-mail": sweep("billing.tasks.sweep_mail", every=15),
    "read-mail-reports": sweep("billing.tasks.read_mail_reports", every=300),
    "notice-spending": sweep("billing.tasks.notice_spending", every=15),
    "sweep-webhooks": sweep("billing.tasks.sweep_webhooks", every=15),
    "audit": {
        "task": "billing.tasks.audit",
        "schedule": crontab(hour=18, minute=10),
        "options": {"expires": 6 * 3600},
    },  # 03:10 in Seoul
    "remove-old-keys": {
        "task": "metering.tasks.remove_old_keys",
        "schedule": crontab(hour=19, minute=10),
        "options": {"expires": 6 * 3600},
    },  # 04:10 in Seoul
    "archive-old-usage": {
        "task": "metering.tasks.archive_old_months",
        "schedule": crontab(hour=20, minute=10),
        "options": {"expires": 6 * 3600},
    },  # 05:10 in Seoul
    "import-exchange-rates": sweep("catalog.tasks.import_exchange_rates", every=2 * 3600),
    "watch-exchange-rates": sweep("catalog.tasks.watch_exchange_rates", every=600),
    "import-prices": sweep("catalog.tasks.import_prices", every=60),
}

# -- accounts ---------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_REDIRECT_URL = "/dashboard"
LOGIN_URL = "/accounts/login/"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_ADAPTER = "accounts.allauth_adapter.AccountAdapter"
ACCOUNT_FORMS = {"signup": "accounts.forms.SignupForm"}
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
"""How long it is not asked for the password again, before an export or a closure, and on the pages of one's account."""
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "InvoiceDream"
SIGNUP_IS_OPEN = True

SESSION_COOKIE_NAME = "invoicedream_site"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEMO
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEMO)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 0 if DEMO else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEMO
if env.bool("BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# -- languages, time --------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "ko"
LANGUAGES = [("ko", _("Korean")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "Asia/Seoul"
USE_TZ = True
USE_THOUSAND_SEPARATOR = True
LANGUAGE_COOKIE_NAME = "invoicedream_language"

# -- files ------------------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("vendor/pretendard", BASE_DIR / "node_modules/pretendard/dist/web/variable"),
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# -- documents: set in these fonts and no others, so that every machine makes the same bytes ----------------------------
DOCUMENT_FONT_PATHS = env.list(
    "DOCUMENT_FONT_PATHS",
    default=[
        str(BASE_DIR / "node_modules/pretendard/dist/public/static/alternative"),
        str(Path(sysconfig.get_path("purelib")) / "pylopdf_fonts_ko"),
    ],
)
"""Folders of static fonts: Pretendard, and Noto Sans KR for the Hanja that it lacks."""

# -- mail -------------------------------------------------------------------------------------------------------------
globals().update(env.email_url("EMAIL_URL", default="consolemail://"))
EMAIL_TIMEOUT = 10
BOUNCE_MAILBOX = env("BOUNCE_MAILBOX", default="")
"""The folder that mail servers' reports come to: imaps://user:password@host/folder, or maildir:///path. Empty: none is read."""
BOUNCE_ADDRESS = env("BOUNCE_ADDRESS", default="")
"""Where mails say that reports should go, with `+` and the mail's id before the `@`. Empty: to DEFAULT_FROM_EMAIL."""
MAIL_OVERDUE_HOURS = env.int("MAIL_OVERDUE_HOURS", default=24)
"""Longer than this no mail may be due and not sent: the audit says so."""
AUDIT_MAX_AGE_HOURS = env.int("AUDIT_MAX_AGE_HOURS", default=30)
"""A month is closed only on a clean audit that is not older; it is run then if the nightly one is missing."""
DRAFT_REVIEW_HOURS = env.int("DRAFT_REVIEW_HOURS", default=48)
"""Longer than this no draft of an invoice may wait for its review without an alarm."""
CLOSED_DAYS = env.int("CLOSED_DAYS", default=90)
"""How long members of a closed organization may still sign in to read and export."""
CLOSED_MONEY_DAYS = env.int("CLOSED_MONEY_DAYS", default=60)
"""Longer than this no closed organization may hold or owe money: the audit says so."""
EXPORT_DAYS = env.int("EXPORT_DAYS", default=7)
"""How long the file of a data export is kept."""
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default="billing@invoicedream.example")
"""Without a name: mail then comes from the product, as its language calls it."""

# -- REST -------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiKeyAuthentication",
        "accounts.authentication.OrganizationSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["accounts.throttling.ClientThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "client": env("API_RATE", default="600/min"),
        "anonymous": env("API_ANONYMOUS_RATE", default="120/min"),
        "ingest": env("API_INGEST_RATE", default="100000/min"),
    },
    "NUM_PROXIES": env.int("PROXIES", default=1 if env.bool("BEHIND_PROXY", default=False) else 0),
    "EXCEPTION_HANDLER": "config.api_errors.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "InvoiceDream API",
    "VERSION": "1",
    "DESCRIPTION": "Metering, prices, estimates and invoices. Money is a decimal string; times are ISO 8601 in UTC.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "defaultModelsExpandDepth": -1},
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "EventKind": ["usage", "reversal"],
        "InvoiceKind": "billing.models.Invoice.Kind",
        "InvoiceLineKind": "billing.models.InvoiceLine.Kind",
        "InvoiceStatus": "billing.models.Invoice.Status",
        "PaymentStatus": "billing.models.Payment.Status",
        "RefundStatus": "billing.models.Refund.Status",
        "SupplyProofKind": "billing.models.SupplyProof.Kind",
        "TaxInvoiceStatus": "billing.models.TaxInvoice.Status",
    },
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024

# -- the business -----------------------------------------------------------------------------------------------------
TRIAL_CREDIT_KRW = Decimal(env("TRIAL_CREDIT_KRW", default="5000"))
VAT_RATE = Decimal("0.10")
PRICES_INCLUDE_VAT = env.bool("PRICES_INCLUDE_VAT", default=False)
"""Whether prices on pages are with VAT in the first place (부가세 포함) or without (부가세 별도); each says which. Organizations
may choose for themselves."""
USAGE_MAX_AGE_DAYS = env.int("USAGE_MAX_AGE_DAYS", default=35)
USAGE_MAX_AHEAD_SECONDS = env.int("USAGE_MAX_AHEAD_SECONDS", default=300)
USAGE_CORRECTION_DAYS = env.int("USAGE_CORRECTION_DAYS", default=USAGE_MAX_AGE_DAYS)
"""How long after it occurred a reporter may void or amend a call."""
USAGE_KEY_DAYS = env.int("USAGE_KEY_DAYS", default=400)
"""How long an id counts once, whatever comes later; at least a day longer than usage may be reported late."""
USAGE_ARCHIVE_MONTHS = env.int("USAGE_ARCHIVE_MONTHS", default=0)
"""Beat takes months of usage out of the database for Parquet files below VAR_DIR/usage-archive when they are older than this; 13
keeps more than a year. 0: only `manage.py archive_usage` does, because from then on that folder must be backed up too."""
USAGE_MAX_BATCH = 10_000
USAGE_MAX_BODY = 50 * 1024 * 1024
"""Bytes of a pushed body once it is decompressed."""
MARKUP_FLOOR = Decimal(env("MARKUP_FLOOR", default="0"))
"""The least markup that does not sell below cost, as a fraction: above 0 where buying or being paid costs a fee (0.055 …)."""

# -- tax invoices (세금계산서), and whether a business exists ------------------------------------------------------------
POPBILL_LINK_ID = env("POPBILL_LINK_ID", default="")
"""Set: tax invoices are issued through Popbill. Unset: they are planned; an operator issues them by hand and notes the number."""
POPBILL_SECRET_KEY = env("POPBILL_SECRET_KEY", default="")
POPBILL_CORP_NUMBER = env("POPBILL_CORP_NUMBER", default="")
"""The member at Popbill; the seller's registration number unless set."""
POPBILL_USER_ID = env("POPBILL_USER_ID", default="")
POPBILL_IS_TEST = env.bool("POPBILL_IS_TEST", default=False)
POPBILL_BASE_URL = env(
    "POPBILL_BASE_URL",
    default="https://popbill-test.linkhub.co.kr" if POPBILL_IS_TEST else "https://popbill.linkhub.co.kr",
)
POPBILL_AUTH_URL = env("POPBILL_AUTH_URL", default="https://auth.linkhub.co.kr")
TAX_INVOICE_DAY = env.int("TAX_INVOICE_DAY", default=0)
"""On which day of the following month (1 to 10) tax invoices are issued; until then an invoice can still be paid by card.
0: as soon as the invoice is final. Never later than the legal deadline."""
TAX_INVOICE_ALARM_DAYS = env.int("TAX_INVOICE_ALARM_DAYS", default=3)
"""How many days before the deadline unissued tax invoices are an alarm."""
TAX_INVOICE_FOR_UNPAID_CARD = env.bool("TAX_INVOICE_FOR_UNPAID_CARD", default=True)
"""Whether an invoice that was to be paid by card, and is not paid on the last day, gets a tax invoice instead of a card slip."""
CASH_RECEIPTS = env.bool("CASH_RECEIPTS", default=False)
"""Whether customers without a registration number get a cash receipt (현금영수증) for transfers."""
NTS_SERVICE_KEY = env("NTS_SERVICE_KEY", default="")
"""Key of the government's data portal for the tax office's status of businesses. Without one, numbers stay unchecked."""
NTS_BASE_URL = env("NTS_BASE_URL", default="https://api.odcloud.kr")
REGISTRATION_DAYS = env.int("REGISTRATION_DAYS", default=30)
"""How often the tax office is asked about each registration number in use."""
REGISTRATION_HOURS = env.int("REGISTRATION_HOURS", default=24)
"""How old its answer may be when a tax invoice is issued; an older one is renewed first."""
PUBLIC_HOLIDAYS = frozenset(env.list("PUBLIC_HOLIDAYS", default=[]))
"""Further public holidays, as 2029-02-12: beside those of billing/tax/korean_calendar.py."""

# -- exchange rates ---------------------------------------------------------------------------------------------------
KOREAEXIM_API_KEY = env("KOREAEXIM_API_KEY", default="")
KOREAEXIM_BASE_URL = env("KOREAEXIM_BASE_URL", default="https://oapi.koreaexim.go.kr")
FRANKFURTER_BASE_URL = env("FRANKFURTER_BASE_URL", default="https://api.frankfurter.dev")
EXCHANGE_RATE_SOURCES = env.list(
    "EXCHANGE_RATE_SOURCES",
    default=["koreaexim"] if KOREAEXIM_API_KEY else [] if DEMO else ["frankfurter"],
)
"""Who is asked, the preferred one first; the next only while those before it are late. What an operator enters counts more."""
EXCHANGE_RATE_MAX_AGE_DAYS = env.int("EXCHANGE_RATE_MAX_AGE_DAYS", default=45)
"""How old a rate may be when its month or day begins. Without one usage waits, unpriced."""
EXCHANGE_RATE_LATE_DAYS = env.int("EXCHANGE_RATE_LATE_DAYS", default=5)
"""After so many weekdays without a publication (the longest Korean holidays have five) the sources are late: an alarm."""
EXCHANGE_RATE_MAX_JUMP = Decimal(env("EXCHANGE_RATE_MAX_JUMP", default="0.10"))
"""A rate that differs by more from the one before it is not believed; an operator may enter it."""
TERMS_VERSION = "2026-11-01"
PRIVACY_VERSION = "2026-11-01"

# -- the seller: what the law wants on the site, and what an invoice names as its supplier ------------------------------
SELLER = {
    "name": env("SELLER_NAME", default="주식회사 인보이스랩 (가상)" if DEMO else ""),
    "representative": env("SELLER_REPRESENTATIVE", default="홍길동" if DEMO else ""),
    "registration_number": env("SELLER_REGISTRATION_NUMBER", default="999-81-00015" if DEMO else ""),
    "mail_order_number": env("SELLER_MAIL_ORDER_NUMBER", default="제2026-예시-0000호" if DEMO else ""),
    "address": env("SELLER_ADDRESS", default="서울특별시 예시구 예시로 1 (데모용 가상 주소)" if DEMO else ""),
    "phone": env("SELLER_PHONE", default="02-000-0000" if DEMO else ""),
    "email": env("SELLER_EMAIL", default="billing@invoicedream.example" if DEMO else ""),
    "privacy_officer": env("SELLER_PRIVACY_OFFICER", default="홍길동" if DEMO else ""),
}
"""Stands in until the seller's details are entered (`billing/seller_on_site.py`); the privacy officer is named here only. Lines
that are not set are left out. The demo's are examples that nobody could mistake for a company."""

# -- the gateway's upstream: OpenRouter, any OpenAI-compatible server, or the stand-in of sandbox/ --------------------
OPENROUTER_API_KEY = env("OPENROUTER_API_KEY", default="")
OPENROUTER_BASE_URL = env("OPENROUTER_BASE_URL", default="https://openrouter.ai/api/v1")
UPSTREAM_BASE_URL = env("UPSTREAM_BASE_URL", default="")
UPSTREAM_API_KEY = env("UPSTREAM_API_KEY", default=OPENROUTER_API_KEY)
UPSTREAM_URLS = [
    url.rstrip("/")
    for url in dict.fromkeys([*env.list("UPSTREAM_URLS", default=[]), OPENROUTER_BASE_URL, UPSTREAM_BASE_URL])
    if url
]
"""Addresses that the console may name for an upstream: no others, so that it cannot point calls at a server of its user's."""
UPSTREAM_KEY_VARIABLE = re.compile(r"(UPSTREAM|OPENROUTER)_([A-Z0-9_]+_)?API_KEY")
"""Environment variables that the console may name for an upstream's key, UPSTREAM_MISTRAL_API_KEY for one."""
UPSTREAM_KEYS = {name: value for name, value in os.environ.items() if UPSTREAM_KEY_VARIABLE.fullmatch(name) and value}
UPSTREAM_CREDIT_ALARM_USD = Decimal(env("UPSTREAM_CREDIT_ALARM_USD", default="20"))
"""An alarm is raised while an upstream that tells its credit has less left for us."""
UPSTREAM_BILL_TOLERANCE = Decimal(env("UPSTREAM_BILL_TOLERANCE", default="0.01"))
"""By which share an upstream's bill of a day may differ from the cost that was recorded, before it is an alarm."""

# -- the price list: OpenRouter's, or that of the upstream that stands in for it --------------------------------------
_LISTING_URL = OPENROUTER_BASE_URL if OPENROUTER_API_KEY else UPSTREAM_BASE_URL
_OWN_PRICE_FEED_URL = f"{_LISTING_URL.rstrip('/')}/models?output_modalities=all" if _LISTING_URL else ""
PRICE_FEED_URL = env("PRICE_FEED_URL", default=_OWN_PRICE_FEED_URL)
"""A list in OpenRouter's shape. Empty: none is fetched, and prices come from files and the console."""
PRICE_FEED_API_KEY = env(
    "PRICE_FEED_API_KEY",
    default=(OPENROUTER_API_KEY or UPSTREAM_API_KEY) if PRICE_FEED_URL == _OWN_PRICE_FEED_URL else "",
)
PRICE_FEED_TABLE = env("PRICE_FEED_TABLE", default="openrouter")
"""The cost table that it fills."""
PRICE_FEED_SECONDS = env.int("PRICE_FEED_SECONDS", default=3600)
PRICE_FEED_TIMEOUT = env.float("PRICE_FEED_TIMEOUT", default=30.0)
PRICE_FEED_ATTEMPTS = env.int("PRICE_FEED_ATTEMPTS", default=3)
PRICE_FEED_PAUSE = env.float("PRICE_FEED_PAUSE", default=2.0)
"""Seconds before the second attempt, doubled before each further one."""
PRICE_JUMP_LIMIT = Decimal(env("PRICE_JUMP_LIMIT", default="0.5"))
"""A price that changes by a larger share, either way, waits for an operator."""
PRICE_FEED_MOST_MISSING = Decimal(env("PRICE_FEED_MOST_MISSING", default="0.25"))
"""A list that lacks a larger share of the models in force is refused: it has probably been cut off."""

# -- the gateway ------------------------------------------------------------------------------------------------------
HOLD_SECONDS = env.int("HOLD_SECONDS", default=900)
"""How long a running call may keep its hold before the sweeper asks what became of it."""
LOW_CREDIT = {"KRW": Decimal(env("LOW_CREDIT_KRW", default="1000")), "USD": Decimal(env("LOW_CREDIT_USD", default="1"))}
"""Below what credit, tax included, an organization is told that it runs low, unless it said something else."""
TOP_UP_MINIMUM = {
    "KRW": Decimal(env("TOP_UP_MINIMUM_KRW", default="5000")),
    "USD": Decimal(env("TOP_UP_MINIMUM_USD", default="5")),
}
TOP_UP_MAXIMUM = {
    "KRW": Decimal(env("TOP_UP_MAXIMUM_KRW", default="10000000")),
    "USD": Decimal(env("TOP_UP_MAXIMUM_USD", default="10000")),
}
"""How much credit can be bought at once, tax included; what the payment processor takes narrows it further."""
WEBHOOK_DAYS = env.int("WEBHOOK_DAYS", default=3)
"""A customer's endpoint that does nothing but fail for so long is switched off."""
VELOCITY_SECONDS = env.int("VELOCITY_SECONDS", default=600)
"""How short a time the breaker that stops runaway keys looks at."""
VELOCITY_CAP = {
    "KRW": Decimal(env("VELOCITY_CAP_KRW", default="500000")),
    "USD": Decimal(env("VELOCITY_CAP_USD", default="350")),
}
"""What a key may spend in that time, tax included, where nobody set a cap; a key's own busiest hour is always allowed."""
VELOCITY_TIMES = Decimal(env("VELOCITY_TIMES", default="3"))
"""A key that spends so many times its busiest hour in that time is stopped, too, …"""
VELOCITY_FLOOR = {
    "KRW": Decimal(env("VELOCITY_FLOOR_KRW", default="50000")),
    "USD": Decimal(env("VELOCITY_FLOOR_USD", default="35")),
}
"""… but never for less than this."""
RATE_LIMIT_REQUESTS = env.int("RATE_LIMIT_REQUESTS", default=6_000)
RATE_LIMIT_TOKENS = env.int("RATE_LIMIT_TOKENS", default=20_000_000)
"""What an organization may ask of the gateway in a minute unless its row says otherwise; 0 is no limit."""
RATE_LIMIT_SECONDS_FOR_REDIS = env.float("RATE_LIMIT_SECONDS_FOR_REDIS", default=0.025)
"""A call does not wait longer for Redis to count it."""
RATE_LIMITS_WITHOUT_REDIS = env.str("RATE_LIMITS_WITHOUT_REDIS", default="local")
"""`local`: each process of the gateway counts by itself; `open`: all pass; `closed`: none does."""
if RATE_LIMITS_WITHOUT_REDIS not in ("local", "open", "closed"):
    raise ImproperlyConfigured("RATE_LIMITS_WITHOUT_REDIS must be local, open or closed.")
GATEWAY_BODY_SECONDS = env.float("GATEWAY_BODY_SECONDS", default=60.0)
"""How long a request's body may take to arrive."""
GATEWAY_MAX_BODY_BYTES = env.int("GATEWAY_MAX_BODY_BYTES", default=10 * 1024 * 1024)
GATEWAY_MAX_ANSWER_BYTES = env.int("GATEWAY_MAX_ANSWER_BYTES", default=64 * 1024 * 1024)
GATEWAY_DEFAULT_MAX_OUTPUT = env.int("GATEWAY_DEFAULT_MAX_OUTPUT", default=16_384)
"""Output tokens of a call that names no cap: it is reserved for, and told the upstream."""
GATEWAY_CONNECT_SECONDS = env.float("GATEWAY_CONNECT_SECONDS", default=5.0)
GATEWAY_FIRST_BYTE_SECONDS = env.float("GATEWAY_FIRST_BYTE_SECONDS", default=120.0)
GATEWAY_CHUNK_SECONDS = env.float("GATEWAY_CHUNK_SECONDS", default=60.0)
GATEWAY_TOTAL_SECONDS = env.float("GATEWAY_TOTAL_SECONDS", default=600.0)
"""Below HOLD_SECONDS, so that no running call is asked about."""
GATEWAY_ATTEMPTS = env.int("GATEWAY_ATTEMPTS", default=3)
"""How often one call is tried at most, over all its routes and fallback models, before its first byte."""
GATEWAY_RETRY_SECONDS = env.float("GATEWAY_RETRY_SECONDS", default=10.0)
"""After so long no further attempt begins."""
GATEWAY_RETRY_PAUSE = env.float("GATEWAY_RETRY_PAUSE", default=0.25)
"""Seconds before the same upstream is tried a second time (doubled before each further one), give or take a half."""
GATEWAY_RETRY_UNKNOWN = env.bool("GATEWAY_RETRY_UNKNOWN", default=False)
"""Whether a call that may have cost something already, nobody knows, is tried again: its caller may pay for both attempts."""
QUESTION_HOURS = env.float("QUESTION_HOURS", default=24.0)
"""How long an upstream is asked what a call cost whose end nobody saw. After that it is waived: recorded, at no charge."""
QUESTION_PAUSE = env.float("QUESTION_PAUSE", default=15.0)
"""Seconds before it is asked about the same call again, doubled every time, an hour at most."""
GATEWAY_DETACHED_SECONDS = env.float("GATEWAY_DETACHED_SECONDS", default=120.0)
"""How long an answer is read on for its usage after its caller left."""
GATEWAY_COMMIT_SECONDS = env.float("GATEWAY_COMMIT_SECONDS", default=15.0)
"""How long a caller waits for the end of its answer while usage cannot be committed."""
GATEWAY_RECORD_SECONDS = env.float("GATEWAY_RECORD_SECONDS", default=120.0)
GATEWAY_DRAIN_SECONDS = env.float("GATEWAY_DRAIN_SECONDS", default=15.0)
GATEWAY_KEY_CACHE_SECONDS = env.float("GATEWAY_KEY_CACHE_SECONDS", default=3.0)

STRIPE_SECRET_KEY = env("STRIPE_SECRET_KEY", default="")
STRIPE_WEBHOOK_SECRET = env("STRIPE_WEBHOOK_SECRET", default="")
STRIPE_API_BASE = env("STRIPE_API_BASE", default="")
AUTOMATIC_PAYMENT_DAY = env("AUTOMATIC_PAYMENT_DAY", default="issued")
"""When an invoice is charged to the card of a customer with automatic payment: the day it is `issued`, or the day it is `due`."""
if AUTOMATIC_PAYMENT_DAY not in ("issued", "due"):
    raise ImproperlyConfigured("AUTOMATIC_PAYMENT_DAY is issued or due")

# -- logs: one structured line an event; prompts, keys and tokens of access never reach them --------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": "accounts.structured_logs.StructuredFormatter",
            "as_json": env("LOG_FORMAT", default="json") == "json",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": env("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "propagate": False},
        "stripe": {"level": "WARNING"},  # two lines a call otherwise
    },
}
