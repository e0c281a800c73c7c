// Passkeys (Web Authentication Level 3): a form with data-passkey="get" or
// "create" carries what the browser is asked in data-options, and takes what
// it answers in its field passkey_response. A form with data-autofill offers
// passkeys where a user name is typed, too. In a form that can do without one,
// the button with the value passkey asks for it.

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

function requestOptions(json) {
  return {
    ...json,
    challenge: bytes(json.challenge),
    allowCredentials: (json.allowCredentials ?? []).map((c) => ({ ...c, id: bytes(c.id) })),
  };
}

function creationOptions(json) {
  return {
    ...json,
    challenge: bytes(json.challenge),
    user: { ...json.user, id: bytes(json.user.id) },
    excludeCredentials: (json.excludeCredentials ?? []).map((c) => ({ ...c, id: bytes(c.id) })),
  };
}

function answer(credential) {
  const r = credential.response;
  const response = { clientDataJSON: text(r.clientDataJSON) };
  if (r.attestationObject) {
    response.attestationObject = text(r.attestationObject);
    response.transports = r.getTransports?.() ?? [];
  } else {
    response.authenticatorData = text(r.authenticatorData);
    response.signature = text(r.signature);
    if (r.userHandle) response.userHandle = text(r.userHandle);
  }
  return JSON.stringify({
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  });
}

let pending; // what the autofill waits for; a browser does one thing at a time

async function ask(form, mediation) {
  pending?.abort();
  pending = new AbortController();
  const options = JSON.parse(form.dataset.options).publicKey;
  const username = form.elements.namedItem("username")?.value;
  if (form.dataset.passkey === "create" && username) {
    options.user.name = username;
    options.user.displayName = form.elements.namedItem("name")?.value || username;
  }
  const credential =
    form.dataset.passkey === "create"
      ? await navigator.credentials.create({ publicKey: creationOptions(options), signal: pending.signal })
      : await navigator.credentials.get({ publicKey: requestOptions(options), signal: pending.signal, mediation });
  form.elements.passkey_response.value = answer(credential);
  form.submit();
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const button = form.querySelector("button[value=passkey]") ?? form.querySelector("button[type=submit]");
  const problem = form.querySelector("[id$=passkey-problem]");
  if (!window.PublicKeyCredential) {
    problem.textContent = form.dataset.unsupported;
    continue;
  }
  form.hidden = false;
  button.disabled = false;
  for (const part of form.querySelectorAll(".with-passkey")) part.hidden = false;
  form.addEventListener("submit", (event) => {
    if (event.submitter && event.submitter !== button) return;
    event.preventDefault();
    for (const field of form.elements) {
      if (field.type !== "password" && !field.reportValidity()) return;
    }
    problem.textContent = "";
    ask(form).catch((error) => {
      if (error.name !== "AbortError") problem.textContent = form.dataset.failed;
    });
  });
  if ("autofill" in form.dataset) {
    PublicKeyCredential.isConditionalMediationAvailable?.().then((available) => {
      if (available) ask(form, "conditional").catch(() => {});
    });
  }
}

// After a removal the browser is told what is left, where it wants to know
// (Web Authentication Level 3 section 5.1.10).
const accepted = document.getElementById("accepted-passkeys");
if (accepted) {
  window.PublicKeyCredential?.signalAllAcceptedCredentials?.(JSON.parse(accepted.dataset.accepted)).catch(() => {});
}
