"""Texts of Django's own pages that our catalog words anew, because Django's Korean addresses people in another form than we do."""

from django.utils.translation import gettext_lazy as _

REWORDED = (
    _(
        "Please enter your old password, for security’s sake, and then enter your new password twice so we can verify you "
        "typed it in correctly."
    ),
    _("Enter the same password as before, for verification."),
    _("Your old password was entered incorrectly. Please enter it again."),
)
"""Asked for by Django, by these very texts."""
