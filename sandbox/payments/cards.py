"""The test cards: their numbers and token names as at Stripe, and how each behaves when set up and when charged."""

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Card:
    """`authenticates` is when the issuer asks for 3-D Secure: never, at "setup" only, or "always"."""

    key: str
    number: str
    tokens: tuple[str, ...]
    authenticates: str = "never"
    code: str = ""
    decline_code: str = ""
    refuses_setup: bool = False
    settles_later: bool = False
    brand: str = "visa"

    @property
    def last4(self) -> str:
        return self.number[-4:]


CARDS = (
    Card("succeeds", "4242424242424242", ("pm_card_visa", "tok_visa")),
    Card(
        "declines",
        "4000000000000002",
        ("pm_card_visa_chargeDeclined", "pm_card_chargeDeclined", "tok_chargeDeclined"),
        code="card_declined",
        decline_code="generic_decline",
        refuses_setup=True,
    ),
    Card(
        "insufficient_funds",
        "4000000000009995",
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedInsufficientFunds"),
        code="card_declined",
        decline_code="insufficient_funds",
    ),
    Card(
        "declines_later",
        "4000000000000341",
        ("pm_card_chargeCustomerFail", "tok_chargeCustomerFail"),
        code="card_declined",
        decline_code="generic_decline",
    ),
    Card(
        "expired",
        "4000000000000069",
        ("pm_card_chargeDeclinedExpiredCard", "tok_chargeDeclinedExpiredCard"),
        code="expired_card",
        decline_code="expired_card",
        refuses_setup=True,
    ),
    Card(
        "authenticates",
        "4000002760003184",
        ("pm_card_authenticationRequired", "pm_card_threeDSecure2Required", "tok_threeDSecure2Required"),
        authenticates="always",
    ),
    Card(
        "authenticates_once",
        "4000002500003155",
        ("pm_card_authenticationRequiredOnSetup", "pm_card_authenticationRequiredSetupForOffSession"),
        authenticates="setup",
    ),
    # Stripe has no card that settles later; bank debits and some wallets do, and their path needs a stand-in too.
    Card("processing", "4000000000000770", ("pm_card_processing",), settles_later=True),
)
BY_KEY = {card.key: card for card in CARDS}
BY_TOKEN = {token: card for card in CARDS for token in card.tokens}
BY_NUMBER = {card.number: card for card in CARDS}

MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "authentication_required": "This payment needs to be authenticated by the cardholder.",
}
