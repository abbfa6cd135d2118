"""Who does not pay in time: reminders, further charges, suspension and restoration."""
