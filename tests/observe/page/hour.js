// In the place of the network: streams that tell something each three seconds of the page's clock, and empty answers.
(() => {
  const NODE = {
    name: "shop@host",
    state: "running",
    uptime: 0,
    os_pid: 1,
    python: "3.13",
    version: "",
    loop: "asyncio",
    memory: 5e7,
    loop_lag: 0.001,
    draining: false,
    allow: false,
    time: 0,
    processes: 3,
    metas: 1,
    zombies: 0,
    running: 1,
    crashes: 0,
    stalls: 0,
    longest_stall: 0,
    dead_letters: 0,
  };
  const socket = (number) => ({
    alias: "Alias<shop@host.1002>",
    drops: Array.from({ length: 6 }, (_, cause) => ({
      direction: "out",
      cause: `E${cause + Math.min(number, 100)}`,
      count: number,
    })),
    packets_in_rate: number % 100,
    packets_out_rate: 1,
    bytes_in_rate: 1,
    bytes_out_rate: 1,
    dropped_in_rate: 0,
    dropped_out_rate: 0,
  });
  const watch = (number) => {
    const rows = { "Alias<shop@host.1002>": socket(number) };
    const sockets = { order: Object.keys(rows), rows, total: 1, more: 0 };
    return number
      ? [{ delta: { node: { uptime: 3 * number, memory: 5e7 + number }, sockets } }]
      : [{ snapshot: { node: NODE, sockets } }];
  };
  const logs = (number) =>
    Array.from({ length: 5 }, (_, part) => ({
      time: new Date().toISOString(),
      level: "INFO",
      logger: "shop",
      message: `record ${number}.${part} ${"x".repeat(200)}`,
      node: "shop@host",
      pid: null,
      name: null,
      behavior: null,
      alias: null,
      peer: null,
      exception: null,
      stack: null,
      extra: null,
    }));
  const streams = { watch, logs };
  const answers = { processes: { processes: [], total: 0, more: 0 }, health: {}, "openapi.json": { paths: {} } };

  function stream(items, signal) {
    let number = 0;
    let timer = null;
    const start = (controller) => {
      const tell = () => {
        for (const item of items(number))
          controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(item)}\n\n`));
        number += 1;
      };
      tell();
      timer = setInterval(tell, 3000);
      signal.addEventListener("abort", () => {
        clearInterval(timer);
        controller.error(signal.reason);
      });
    };
    return new Response(new ReadableStream({ start }));
  }

  window.fetch = async (path, { signal } = {}) => {
    const name = path.replace("api/v1/", "").split("?")[0];
    const found = streams[name.replace("stream/", "")];
    return name.startsWith("stream/") ? stream(found, signal) : new Response(JSON.stringify(answers[name]));
  };
})();
