// Exit code 0 when the role in this container is ready: `node docker/healthcheck.mjs PORT`.
const answer = await fetch(`http://127.0.0.1:${process.argv[2]}/readyz`);
process.exitCode = answer.ok ? 0 : 1;
