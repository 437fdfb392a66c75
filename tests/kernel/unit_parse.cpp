// Kernels from their texts, and from functions of a program's own.
#include <gtest/gtest.h>

#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer::kernel {
namespace {

TEST(KernelTexts, AreReadBack) {
  const auto text = [](const Options& options) { return make(options)->text(); };
  std::vector<std::string> texts{text({.kind = Kind::linear}),
                                 text({.kind = Kind::gaussian, .bandwidth = 0.1 + 0.2}),
                                 text({.kind = Kind::laplace, .bandwidth = 1e-7})};
  for (const Kind kind : {Kind::ntk, Kind::nngp})
    for (const char* layers :
         {"dense relu dense", "dense(7) leaky_relu(0.1) dense(3)",
          "dense res(relu dense) relu dense", "dense erf dense sin(1,1,0) dense", "dense",
          "dense relu dense(fixed)"})
      texts.push_back(
          text({.kind = kind,
                .architecture = arch::parse(layers, {.weight_std = 1.1, .bias_std = 1.0 / 3})}));
  texts.push_back(text({.kind = Kind::ntk,
                        .architecture = arch::parse("dense(9) relu dense(1)"),
                        .parametrization = Parametrization::standard}));
  for (const auto& one : texts) EXPECT_EQ(parse(one)->text(), one);
}

TEST(KernelTexts, OfNoKernelAreRefused) {
  for (const char* text :
       {"", "ntk", "ntk()", "ntk(dense relu dense)", "gaussian", "gaussian(bandwidth=)",
        "gaussian(bandwidth=1x)", "gaussian(bandwidth=-1)", "gaussian(bandwidth=nan)",
        "laplace(width=1)", "linear ", "file:K.h5", "empirical(dense(1))", "matern",
        "ntk(dense relu dense; weight_std=1; bias_std=0; other)",
        "ntk(dense relu; weight_std=1; bias_std=0)"})
    EXPECT_THROW(parse(text), InputError) << text;
}

TEST(OwnKernels, AreTheirFunctionsOfTwoRows) {
  const Index d = 3, m = 5, c = 4;
  Matrix<double> X(d, m), Z(d, c), out(m, c);
  for (Index i = 0; i < X.size(); ++i) X.data()[i] = std::sin(static_cast<double>(i));
  for (Index i = 0; i < Z.size(); ++i) Z.data()[i] = std::cos(static_cast<double>(2 * i));
  const auto distance = [&](Index i, Index j) {
    double square = 0;
    for (Index a = 0; a < d; ++a) square += std::pow(X(a, i) - Z(a, j), 2);
    return std::sqrt(square);
  };
  const auto own = radial("own(1)", [](double r) { return 1 / (1 + r * r); });
  EXPECT_EQ(own->text(), "own(1)");
  const auto x = own->prepare(X.copy()), z = own->prepare(Z.copy());
  own->tile(*x, 0, *z, 0, out.view());
  for (Index j = 0; j < c; ++j)
    for (Index i = 0; i < m; ++i)
      EXPECT_NEAR(out(i, j), 1 / (1 + std::pow(distance(i, j), 2)), 1e-15);
  std::vector<double> diagonal(static_cast<std::size_t>(m), -1.0);
  own->diagonal(*x, 0, m, diagonal.data());
  for (const double k : diagonal) EXPECT_EQ(k, 1);
  EXPECT_THROW(radial("", [](double) { return 1.0; }), InputError);
  EXPECT_THROW(pairwise("none", {}), InputError);
  EXPECT_THROW(radial("none", {}), InputError);
}

}  // namespace
}  // namespace mercer::kernel
