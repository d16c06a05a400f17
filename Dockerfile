# docker build -t lowrank-dynamics . && docker run --volume "$PWD/outcome:/project/results/laptop" lowrank-dynamics SCALE=laptop
FROM debian:13
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv make git ca-certificates
WORKDIR /project
COPY . .
RUN make .venv/.complete
ENTRYPOINT ["make"]
CMD ["SCALE=laptop"]
