// The least that is a console: who is logged in, and the engine's status as text.

const at = (id) => document.getElementById(id);
const headers = { "content-type": "application/json", "x-tallystick-console": "1" };

async function post(path, message) {
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(message) });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.message);
  return said;
}

async function show() {
  const me = await fetch("/api/me");
  at("login").hidden = me.ok;
  at("logout").hidden = !me.ok;
  at("status").textContent = "";
  if (!me.ok) return;
  const { name, role } = await me.json();
  at("said").textContent = `${name || "nobody by name"}, ${role}`;
  at("status").textContent = JSON.stringify(await post("/api/call/GetStatus", {}), null, 2);
}

const told = (work) => work.catch((error) => { at("said").textContent = error.message; });

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  told(post("/api/login", { token: at("token").value }).then(show));
});
at("logout").addEventListener("click", () => told(post("/api/logout", {}).then(show)));

const code = new URLSearchParams(location.hash.slice(1)).get("login");
if (code) history.replaceState(null, "", "/");
told((code ? post("/api/login", { code }) : Promise.resolve()).then(show));
