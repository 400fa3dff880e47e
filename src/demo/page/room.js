/** What one does in a room over HTTP: messages are sent to the relay, changes to the application that owns the table. */

const path = (room) => `v1/rooms/${encodeURIComponent(room)}/events`;

/** The address of a room's events. */
export const roomUrl = (room) => new URL(path(room), location.href).href;

/** Inserts a row; its key's `id`. One that was sent before, with the same nonce, counts as sent: then undefined. */
export async function send(room, message) {
  const answer = await request("POST", path(room), message);
  if (answer.status === 409) return undefined;
  return (await checked(answer)).key.id;
}

export const edit = async (id, body) => checked(await request("PATCH", `demo/messages/${id}`, { body }));

/** One that is gone already counts as deleted. */
export async function remove(id) {
  const answer = await request("DELETE", `demo/messages/${id}`);
  if (answer.status !== 404) await checked(answer);
}

export const look = async (name) => checked(await request("GET", `demo/${name}`));
export const set = async (name, state) => checked(await request("PUT", `demo/${name}`, state));

async function request(method, url, body) {
  const headers = body ? { "content-type": "application/json" } : {};
  try {
    return await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("The relay can't be reached.");
  }
}

/** The answer's JSON, or its problem's words as an error. */
async function checked(answer) {
  if (answer.status === 204) return undefined;
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(json.detail ?? `The answer is ${answer.status}.`);
  return json;
}
