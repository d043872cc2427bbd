# docker build -t glpn . && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" glpn predict /data -o /data/depth
FROM python:3.11-slim AS build
COPY . /source
RUN python -m venv /opt/glpn \
 && /opt/glpn/bin/pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    -c /source/constraints.txt /source

FROM python:3.11-slim
COPY --from=build /opt/glpn /opt/glpn
RUN useradd --create-home glpn
USER glpn
# Mount a folder here, and models are fetched once.
ENV HF_HOME=/tmp/huggingface
WORKDIR /data
ENTRYPOINT ["/opt/glpn/bin/glpn"]
CMD ["--help"]
