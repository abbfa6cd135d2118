"""`/healthz`: the process is up. `/readyz`: it can do its work. For load balancers and supervisors, of site and console."""

import logging

import redis
from django.conf import settings
from django.db import DatabaseError, connections
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

logger = logging.getLogger(__name__)
REDIS_TIMEOUT = 0.5


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as this process answers at all; looks at nothing else."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 while the database answers. Without Redis we are degraded, but ready: it is a doorbell, never the truth."""
    database, doorbell = database_answers(), redis_answers()
    status = "unavailable" if not database else "ready" if doorbell else "degraded"
    body = {"status": status, "database": "up" if database else "down", "redis": "up" if doorbell else "down"}
    return JsonResponse(body, status=200 if database else 503)


def database_answers() -> bool:
    """Whether the role of this process can ask PostgreSQL something."""
    try:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.warning("the database does not answer", extra={"error_type": type(error).__name__})
        return False
    return True


def redis_answers() -> bool:
    """Whether Redis says PONG within half a second."""
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
        ) as client:
            return bool(client.ping())
    except redis.RedisError as error:
        logger.warning("Redis does not answer", extra={"error_type": type(error).__name__})
        return False
