// The what-if estimate: every change asks the API, the answer fills the [data-estimate] places. Amounts come as decimal strings and are
// only written here, never computed.
"use strict";

(() => {
  const WAIT = 250; // milliseconds after the last change
  const LEAST = 10_000; // tokens at the slider's left end
  const DECADE = 100; // slider steps for a factor of ten
  const DIGITS = { KRW: 0, JPY: 0 };

  const count = (field) => globalThis.tokenCount(field.value);

  const twoFigures = (number) => {
    const unit = 10 ** Math.max(Math.floor(Math.log10(number)) - 1, 0);
    return Math.round(number / unit) * unit;
  };

  // `₩12,345`, `$12.34`, as the server writes it; a positive amount is not shown as zero.
  const money = (text, currency) => {
    const amount = Number(text);
    const fewest = DIGITS[currency] ?? 2;
    const small = amount !== 0 && Math.abs(amount) < 0.5 * 10 ** -fewest;
    return new Intl.NumberFormat("en", {
      style: "currency",
      currency,
      currencyDisplay: "narrowSymbol",
      ...(small ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: fewest, maximumFractionDigits: fewest }),
    }).format(amount);
  };

  // What the upstream charges, as the server writes prices: three decimals, more where it has more.
  const cost = (text) =>
    new Intl.NumberFormat("en", {
      style: "currency",
      currency: "USD",
      currencyDisplay: "narrowSymbol",
      minimumFractionDigits: 3,
      maximumFractionDigits: 12,
    }).format(Number(text));

  const show = (form, answer) => {
    const scope = form.closest("[data-estimate-scope]") || form;
    for (const place of scope.querySelectorAll("[data-estimate]")) {
      const name = place.dataset.estimate;
      if (answer[name] === undefined || answer[name] === null) continue;
      place.textContent = name === "cost_usd" ? cost(answer[name]) : money(answer[name], answer.currency);
    }
  };

  const ask = async (form, signal) => {
    const token = document.querySelector("[name=csrfmiddlewaretoken]");
    const response = await fetch(form.dataset.estimateForm, {
      method: "POST",
      signal,
      headers: { "Content-Type": "application/json", ...(token ? { "X-CSRFToken": token.value } : {}) },
      body: JSON.stringify({
        model: form.elements.model.value,
        input_tokens: count(form.elements.input_tokens),
        output_tokens: count(form.elements.output_tokens),
      }),
    });
    if (!response.ok) throw new Error(`estimate: ${response.status}`);
    return response.json();
  };

  const setUp = (form) => {
    const error = form.querySelector("[data-estimate-error]");
    let timer = 0;
    let pending = new AbortController();

    const fields = [...form.querySelectorAll("[data-error-for]")].map((place) => [
      document.getElementById(place.dataset.errorFor),
      place,
    ]);
    const result = form.querySelector(".estimate-result");

    // Whether every field holds a count; one that does not says so.
    const readable = () => {
      for (const [field, place] of fields) {
        const wrong = Number.isNaN(count(field));
        place.hidden = !wrong;
        place.textContent = wrong ? form.dataset.unreadable : "";
        if (wrong) field.setAttribute("aria-invalid", "true");
        else field.removeAttribute("aria-invalid");
      }
      return fields.every(([field]) => !Number.isNaN(count(field)));
    };

    const refresh = async () => {
      pending.abort();
      pending = new AbortController();
      if (!readable()) {
        result.hidden = true;
        return;
      }
      try {
        show(form, await ask(form, pending.signal));
        error.hidden = true;
        result.hidden = false;
      } catch (problem) {
        if (problem.name === "AbortError") return;
        error.textContent = form.dataset.failed;
        error.hidden = false;
      }
    };

    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(refresh, WAIT);
    };

    const sliders = [...form.querySelectorAll("[data-slider-for]")];
    const place = (slider) => {
      const field = document.getElementById(slider.dataset.sliderFor);
      slider.value = String(Math.round(Math.log10(Math.max(count(field) || 0, LEAST) / LEAST) * DECADE));
      slider.setAttribute("aria-valuetext", field.value);
    };

    form.addEventListener("input", (event) => {
      const slider = event.target.closest("[data-slider-for]");
      if (slider) {
        const tokens = twoFigures(LEAST * 10 ** (Number(slider.value) / DECADE));
        document.getElementById(slider.dataset.sliderFor).value = tokens.toLocaleString("en");
        slider.setAttribute("aria-valuetext", tokens.toLocaleString("en"));
      } else {
        sliders.forEach(place);
      }
      soon();
    });
    // What was typed with a unit is shown as the number that it was read as.
    form.addEventListener("change", (event) => {
      const typed = fields.find(([field]) => field === event.target);
      if (typed && event.target.value.trim() && !Number.isNaN(count(event.target)))
        event.target.value = count(event.target).toLocaleString("en");
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      refresh();
    });
    sliders.forEach(place);
  };

  document.querySelectorAll("[data-estimate-form]").forEach(setUp);
})();
