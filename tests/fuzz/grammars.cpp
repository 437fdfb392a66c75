// The texts that options and files hold: architectures, g, shapes, sizes, SPECs of synthetic sets.
#include "fuzz.hpp"
#include "mercer/arch/architecture.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/instructions.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/text.hpp"
#include "mercer/data/dataset.hpp"
#include "mercer/dist/process_grid.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "mercer/io/checksum.hpp"
#include "mercer/kernel/kernel.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/net/network.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::fuzz {
namespace {

/// What parses prints a form that parses to itself.
void architecture(const std::string& text) {
  const auto parsed = arch::parse(text);
  if (arch::parse(parsed.text()).text() != parsed.text()) std::abort();
  if (text.size() > 200) return;
  const auto kernel = kernel::make({.kind = kernel::Kind::ntk, .architecture = parsed});
  static_cast<void>(kernel->bytes_per_row(3));
}

/// g of the modes that there may be.
void spectrum_map(const std::string& text) {
  const auto g = msk::SpectrumMap::parse(text);
  const std::vector<double> lambda{1, 0.5, 0.5, 1e-3, 1e-16, 0};
  static_cast<void>(g.apply(lambda, 0, true, msk::SpectrumMap::Positivity::nonnegative));
}

void synthetic(const std::string& text) {
  if (text.find('/') != std::string::npos) return;  // of files: see tables.cpp
  for (const char* kind : {"circle:", "sphere:", "gaussian:"})
    data::load(kind + text, "", {.memory_limit = 1e6}, comm::Communicator::world());
}

template <class Call>
void answered(Call&& call) {
  try {
    call();
  } catch (const Error&) {
  }
}

}  // namespace

void try_input(Input input) {
  const auto which = input.below(4);
  const std::string text = input.rest();
  switch (which) {
    case 0:
      return architecture(text);
    case 1:
      return spectrum_map(text);
    case 2:
      return synthetic(text);
    default:
      answered([&] { dist::parse_shape(text, 6); });
      answered([&] { parse_bytes(text); });
      answered([&] { kernel::parse(text); });
      answered([&] { parse_instructions(text); });
      answered([&] { parse_numbers("`ridge`", text); });
      answered([&] { gram::parse_storage(text); });
      answered([&] { spectral::parse_method(text); });
      answered([&] { net::parse_parametrization(text); });
      answered([&] { net::parse_start(text); });
      static_cast<void>(io::parse_checksum_block(text));
  }
}

std::vector<std::string> seeds(const std::vector<std::string>&) {
  std::vector<std::string> result;
  const auto add = [&](char which, const std::vector<std::string>& texts) {
    for (const auto& text : texts) result.push_back(which + text);
  };
  std::string nested;
  for (int i = 0; i < 3000; ++i) nested += "res(";
  add(0, {"dense(64) relu dense(1)", "dense relu res(dense relu dense) erf dense(10)",
          "conv(3,16) relu pool(2) flatten dense(10)", "dense lrelu(0.1) dense",
          "dense poly(1,0.5,-2) dense", "dense sin(2) dense", nested,
          "dense(9223372036854775807) relu dense", "dense((((", "res()"});
  add(1, {"flat", "flat:3", "identity", "power:0.5", "inverse", "l1", "sqrt(l*l1)", "0.5*(l+lk)",
          "l^2/i", "l = 2", "i<3?l:lk", "power:1e999", "((((((((((l))))))))))", "l/0", "_pi*l"});
  add(2, {"n=20,freq=3", "n=12,d=4,degree=2", "n=5,d=3", "n=9223372036854775807", "n=-1",
          "n=8,freq=1e9,grid,amplitude=nan", "n=3000000000,d=3000000000", "n=,d=", "n=1,n=2"});
  add(3, {"2x3", "4G", "1.5GiB", "0.1,1e-3", "mixed", "avx2",
          "Mercer checksum 1 100 0123456789abcdef\n", "9999999999999999999999G"});
  return result;
}

}  // namespace mercer::fuzz
