"""Where payment processors knock: `POST /webhooks/stripe`. Kept and committed first, then 2xx; the work is a task's."""

import logging

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import tasks
from billing.payments.webhooks import receive_event
from billing.processors import stripe_processor
from billing.processors.interface import InvalidWebhook
from billing.processors.selection import processors

logger = logging.getLogger(__name__)
MAX_BYTES = 1024 * 1024


@csrf_exempt
@require_POST
def receive_stripe(request: HttpRequest) -> HttpResponse:
    """400 for whatever was not signed with our secret in the last five minutes, in our mode. Stripe sends again without a 2xx."""
    processor = processors().get(stripe_processor.NAME)
    if processor is None:
        return HttpResponse(status=400)
    body, signature = request.body, request.headers.get("Stripe-Signature", "")
    if len(body) > MAX_BYTES:
        return HttpResponse(status=413)
    try:
        event = receive_event(processor=processor, body=body, signature=signature, now=timezone.now())
    except InvalidWebhook as error:
        logger.warning("a webhook was refused", extra={"reason": str(error)})
        return HttpResponse(status=400)
    if event.processed_at is None:
        tasks.ring(tasks.process_processor_event, event_id=event.pk)
    return HttpResponse(status=200)
