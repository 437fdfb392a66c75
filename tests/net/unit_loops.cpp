// The element passes of every instruction set that this processor has, against the plain twin.
#include "loops.hpp"

#include <gtest/gtest.h>

#include "networks.hpp"
#include "support/naive_network.hpp"

namespace mercer::net {

namespace baseline {
extern const Loops<double> loops_double;
extern const Loops<float> loops_float;
}  // namespace baseline
#ifdef MERCER_LOOPS_X86
namespace avx2 {
extern const Loops<double> loops_double;
extern const Loops<float> loops_float;
}  // namespace avx2
namespace avx512 {
extern const Loops<double> loops_double;
extern const Loops<float> loops_float;
}  // namespace avx512
#endif

namespace {

template <class T>
std::vector<const Loops<T>*> tables() {
  std::vector<const Loops<T>*> all;
  const auto add = [&](const Loops<double>& d, const Loops<float>& f) {
    if constexpr (std::is_same_v<T, double>)
      all.push_back(&d);
    else
      all.push_back(&f);
  };
  add(baseline::loops_double, baseline::loops_float);
#ifdef MERCER_LOOPS_X86
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    add(avx2::loops_double, avx2::loops_float);
  if (std::string(loops<double>().name) == "avx512") add(avx512::loops_double, avx512::loops_float);
#endif
  return all;
}

std::vector<arch::Activation> activations() {
  std::vector<arch::Activation> all;
  for (const char* token : {"relu", "leaky_relu(0.2)", "abrelu(-0.5,1.5)", "erf(0.8,1.7)", "gelu",
                            "sin(1.3,0.7,0.4)", "tanh", "softplus", "sigmoid"})
    all.push_back(std::get<arch::Activation>(
        arch::parse(fmt::format("dense {} dense", token)).layers[1].what));
  return all;
}

// Sizes around a vector's and a tile's: remainders of every kind.
constexpr Index kShapes[][2] = {{1, 1}, {3, 5}, {16, 3}, {19, 70}, {515, 67}, {0, 3}, {3, 0}};

template <class T>
class ElementPasses : public testing::Test {};
using Precisions = testing::Types<double, float>;
TYPED_TEST_SUITE(ElementPasses, Precisions);

// Vector functions are good to 4 units in the last place, times the condition of the formulas.
TYPED_TEST(ElementPasses, GiveEveryActivationAndItsDerivative) {
  using T = TypeParam;
  const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Index compared = 0;
  for (const Loops<T>* loop : tables<T>())
    for (const arch::Activation& rho : activations())
      for (const bool biased : {false, true})
        for (const bool sloped : {false, true}) {
          const Index rows = 19, cols = 70;
          const Rho<T> plain{rho.function, static_cast<T>(rho.a), static_cast<T>(rho.b),
                             static_cast<T>(rho.c)};
          std::vector<T> z(rows * cols), bias(rows), out(rows * cols, nan), slope(rows * cols, nan);
          for (std::size_t k = 0; k < z.size(); ++k)  // -6 ... 6, 0 included
            z[k] = static_cast<T>(12.0 * static_cast<double>(k) / (rows * cols - 1) - 6);
          for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<T>(i) / T(8);
          loop->activate(plain, rows, cols, z.data(), biased ? bias.data() : nullptr, T(0.5),
                         out.data(), sloped ? slope.data() : nullptr);
          for (std::size_t k = 0; k < z.size(); ++k, ++compared) {
            const T x = biased ? z[k] + T(0.5) * bias[k % rows] : z[k];
            const auto f = [&](long double t) { return test::naive_value(rho, t); };
            EXPECT_NEAR(static_cast<double>(out[k]), static_cast<double>(f(x)), 40 * eps)
                << loop->name << " " << rho.name << " at " << x;
            if (!sloped) continue;
            const long double h = 1e-6L;
            const long double exact =
                (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h);
            const bool kink = rho.function == arch::Function::rectifier && std::abs(x) < 1e-5;
            if (kink) continue;
            EXPECT_NEAR(static_cast<double>(slope[k]), static_cast<double>(exact), 40 * eps + 1e-12)
                << loop->name << " " << rho.name << " at " << x;
          }
        }
  EXPECT_EQ(compared, static_cast<Index>(tables<T>().size()) * 9 * 4 * 19 * 70);
}

TYPED_TEST(ElementPasses, MultiplyAndSumUpWithRemaindersOfEveryKind) {
  using T = TypeParam;
  const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
  for (const Loops<T>* loop : tables<T>())
    for (const auto& [rows, cols] : kShapes)
      for (const int kind : {0, 1, 2}) {  // none, stored, by the sign
        const auto n = static_cast<std::size_t>(rows * cols), r = static_cast<std::size_t>(rows);
        std::vector<T> stored(n), g(n), out(n, T(1)), sums(r, T(2)), bias(r);
        for (std::size_t k = 0; k < n; ++k) {
          stored[k] = static_cast<T>(static_cast<int>(k % 7) - 3);
          g[k] = static_cast<T>(static_cast<int>(k % 11) - 4);
        }
        const Slope<T> slope{kind == 1 ? stored.data() : nullptr,
                             kind == 2 ? stored.data() : nullptr, T(0.25), T(2)};
        const auto factor = [&](std::size_t k) {
          return kind == 0 ? T(1) : kind == 1 ? stored[k] : stored[k] > 0 ? T(2) : T(0.25);
        };
        std::vector<T> expected(n), total(r);
        for (std::size_t k = 0; k < n; ++k) {
          expected[k] = factor(k) * g[k];
          total[k % r] += expected[k];
        }
        if (kind > 0) {
          loop->times_slope(slope, rows * cols, g.data(), out.data(), true);
          for (std::size_t k = 0; k < n; ++k) EXPECT_EQ(out[k], 1 + expected[k]);
          loop->times_slope(slope, rows * cols, g.data(), out.data(), false);
          EXPECT_EQ(out, expected);
        }
        loop->add(rows * cols, g.data(), out.data());
        for (std::size_t k = 0; k < n; ++k)
          EXPECT_EQ(out[k], (kind > 0 ? expected[k] : T(1)) + g[k]);
        auto alone = g;
        loop->slope_and_sums(slope, rows, cols, rows, alone.data(), nullptr, T(0));
        EXPECT_EQ(alone, expected);
        loop->slope_and_sums(slope, rows, cols, rows, g.data(), sums.data(), T(0.5));
        EXPECT_EQ(g, expected);
        for (std::size_t i = 0; i < r; ++i) {
          EXPECT_NEAR(static_cast<double>(sums[i]), 2 + 0.5 * static_cast<double>(total[i]),
                      100 * eps * static_cast<double>(cols + 1));
          bias[i] = static_cast<T>(i % 13);
        }
        loop->add_bias(rows, cols, g.data(), bias.data(), T(0.5));
        for (std::size_t k = 0; k < n; ++k) EXPECT_EQ(g[k], expected[k] + T(0.5) * bias[k % r]);
      }
}

TYPED_TEST(ElementPasses, LeaveTheGapsBetweenColumnsAlone) {
  using T = TypeParam;
  const T untouched = T(77);
  for (const Loops<T>* loop : tables<T>())
    for (const auto& [rows, cols] : kShapes)
      for (const int kind : {0, 1, 2})
        for (const bool summed : {false, true}) {
          const Index ld = rows + 3;
          const auto n = static_cast<std::size_t>(ld * cols);
          std::vector<T> value(n), g(n), expected(n), sums(static_cast<std::size_t>(rows), T(0));
          auto total = sums;
          for (std::size_t k = 0; k < n; ++k) {
            const auto i = k % static_cast<std::size_t>(ld);
            value[k] = static_cast<T>(static_cast<int>(k % 7) - 3);
            g[k] = expected[k] = untouched;
            if (i >= static_cast<std::size_t>(rows)) continue;
            g[k] = static_cast<T>(static_cast<int>(k % 11) - 4);
            expected[k] = g[k] * (kind == 0   ? T(1)
                                  : kind == 1 ? value[k]
                                              : T(value[k] > 0 ? 2 : 0));
            total[i] += expected[k];
          }
          const Slope<T> slope{kind == 1 ? value.data() : nullptr,
                               kind == 2 ? value.data() : nullptr, T(0), T(2)};
          loop->slope_and_sums(slope, rows, cols, ld, g.data(), summed ? sums.data() : nullptr,
                               T(1));
          EXPECT_EQ(g, expected);
          if (summed) {
            EXPECT_EQ(sums, total);  // of whole numbers: exact
          }
        }
}

}  // namespace
}  // namespace mercer::net
