#include "bench/training.hpp"

#include <algorithm>

namespace mercer::bench {
namespace {

constexpr net::Start kStarts[] = {net::Start::gaussian, net::Start::antisymmetric};

net::Network network(const TrainBench& options, std::size_t i, net::Start start) {
  const auto& [text, n, image] = options.networks[i];
  const auto architecture = arch::parse(text);
  if (!architecture.of_images()) return {architecture, options.d, net::Parametrization::ntk, start};
  return {architecture.on(image), image.numbers(), net::Parametrization::ntk, start};
}

template <class T>
double bytes_in(const Bench& bench, const TrainBench& options) {
  double most = 0;
  for (std::size_t i = 0; i < options.networks.size(); ++i)
    most = std::max(most, step_bytes<T>(bench, network(options, i, net::Start::gaussian),
                                        options.networks[i].n, options.top));
  for (const auto start : kStarts)
    most = std::max(most, parameter_step_bytes<T>(bench, network(options, 0, start), options.batch,
                                                  options.top_parameters));
  return most;
}

template <class T>
Json training_in(const Bench& bench, const TrainBench& options) {
  auto rows = Json::array();
  for (std::size_t i = 0; i < options.networks.size(); ++i)
    rows.push_back(training_step<T>(bench, network(options, i, net::Start::gaussian),
                                    options.networks[i].n, options.top));
  for (const auto start : kStarts)
    rows.push_back(parameter_step<T>(bench, network(options, 0, start), options.batch,
                                     options.top_parameters));
  return rows;
}

}  // namespace

double bytes(const Bench& bench, const TrainBench& options) {
  return options.single ? bytes_in<float>(bench, options) : bytes_in<double>(bench, options);
}

double flops(const TrainBench& options) {
  return network(options, 0, net::Start::gaussian).gradient_flops() *
         static_cast<double>(options.networks[0].n);
}

Json training(const Bench& bench, const TrainBench& options) {
  return options.single ? training_in<float>(bench, options) : training_in<double>(bench, options);
}

}  // namespace mercer::bench
