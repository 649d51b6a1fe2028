"""The fault harness: `./run faults`. Real processes, real faults, and a checker.

- `site`: an installation whose connections to broker and database go through `proxy`;
- `launch`: its workers, which can be made slow, or be run with a protection switched off;
- `injections`: the faults; `producers`: uploads at a steady rate, and what was acknowledged;
- `checker`: what became of them; `campaign`: all of it, from one seed.
"""
