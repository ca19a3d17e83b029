#include "ui/widget.h"

#include <algorithm>
#include <vector>

namespace ui {

namespace {
// Only seen here.
int clamp(int value) { return std::clamp(value, 0, kMaxDepth); }
}  // namespace

int Widget::count_ = 0;

Widget::Widget(std::string name)
    : name_(std::move(name)), secret_(std::make_unique<detail::Secret>()) {
    ++count_;
}

// Compares by name alone.
bool Widget::operator==(const Widget& other) const {
    return name_ == other.name_;
}

template <typename T, int N = 4>
class Grid final {
  public:
    T& at(int row, int column) { return cells_[row * N + column]; }
    auto size() const -> std::size_t;

  private:
    T cells_[N * N];
};

template <typename T, int N>
auto Grid<T, N>::size() const -> std::size_t {
    return N * N;
}

// A specialisation.
template <>
class Grid<bool, 2> {};

union Pixel {
    unsigned rgba;
    unsigned char parts[4];
};

}  // namespace ui

namespace geometry::plane {
typedef double Unit;

static Unit *area(const std::vector<Unit> &sides, int (*round)(Unit)) {
    auto scaled = [&](Unit side) { return round(side); };
    std::vector<Unit> out;
    for (auto side : sides) out.push_back(scaled(side));
    throw std::runtime_error(R"(not "done" { yet)");
}
}  // namespace geometry::plane

extern "C" int plugin_start(void) {
    ui::Grid<int> *grid = new ui::Grid<int>();
    return static_cast<int>(grid->size());
}

#define REGISTER(type) static Registrar<type> registrar_##type

TEST_F(WidgetTest, DrawsItsChildren) {
    EXPECT_EQ(clamp(20), 16);
}

int main(int argc, char **argv) { return plugin_start(); }
