"""Where exchange rates come from by themselves: one module a publisher, all behind `interface.RateSource`."""
