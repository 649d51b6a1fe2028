# One image for every process: `hangtag worker`, `hangtag reaper`, `hangtag migrate`, `python -m review`.
FROM python:3.12-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/hangtag
ENV PATH=/opt/hangtag/bin:$PATH
# Dependencies are a layer of their own: a change of the code does not install them again.
# The embedded servers are left out; in containers database and broker are services. HEIC is in:
# decision 10 says which licences come with it.
# Each must have one of the hashes that are written down.
COPY requirements/image.txt requirements/image.txt
RUN pip install --require-hashes -r requirements/image.txt
COPY pyproject.toml pyproject.toml
COPY README.md LICENSE ./
COPY db db
COPY errors errors
COPY migrations migrations
COPY models models
COPY review review
COPY worker worker
RUN pip install --no-deps --no-build-isolation .

FROM python:3.12-slim-trixie
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Hangtag" \
      org.opencontainers.image.description="Tags fashion uploads and leaves vectors in Postgres" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A named volume takes on the owner of the folder that it is first mounted over.
RUN groupadd --gid 10001 hangtag \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp \
        --shell /usr/sbin/nologin hangtag \
    && install -d -o 10001 -g 10001 /pictures
COPY --from=build /opt/hangtag /opt/hangtag
# PYTHONSAFEPATH: `python -m review` must not look for modules in the working folder.
ENV PATH=/opt/hangtag/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1
USER 10001:10001
ENTRYPOINT ["hangtag"]
CMD ["--help"]
