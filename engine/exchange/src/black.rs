//! Option values on a forward: the formulas behind every mark price, greek and volatility.
//!
//! F. Black, "The pricing of commodity contracts", Journal of Financial Economics 3 (1976), with
//! the discount rate at zero, as the exchange marks its options (`interest_rate` is 0.0). Premiums
//! of its inverse options are paid in coin: the dollar value divided by the forward. The units of
//! the greeks were checked against published tickers: vega for one volatility point, theta for one
//! day, rho for one percent, each in dollars.

/// Whether the right is to buy or to sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Right {
    Call,
    Put,
}

/// One option at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) right: Right,
    /// Dollars for one coin at expiry.
    pub(crate) forward: f64,
    /// Dollars.
    pub(crate) strike: f64,
    /// Years of 365 days until expiry; positive.
    pub(crate) years: f64,
}

/// Sensitivities in dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Greeks {
    pub(crate) delta: f64,
    pub(crate) gamma: f64,
    /// For one volatility point.
    pub(crate) vega: f64,
    /// For one day.
    pub(crate) theta: f64,
    /// For one percent.
    pub(crate) rho: f64,
}

impl Terms {
    /// The premium in coin at this volatility (a fraction: 0.395 for 39.5 %).
    pub(crate) fn price(&self, volatility: f64) -> f64 {
        let (d1, d2) = self.d(volatility);
        let (forward, strike) = (self.forward, self.strike);
        let dollars = match self.right {
            Right::Call => forward * normal(d1) - strike * normal(d2),
            Right::Put => strike * normal(-d2) - forward * normal(-d1),
        };
        (dollars / forward).max(0.0)
    }

    pub(crate) fn greeks(&self, volatility: f64) -> Greeks {
        let (d1, d2) = self.d(volatility);
        let root = self.years.sqrt();
        let density = density(d1);
        let (delta, rho) = match self.right {
            Right::Call => (normal(d1), self.strike * self.years * normal(d2)),
            Right::Put => (-normal(-d1), -self.strike * self.years * normal(-d2)),
        };
        Greeks {
            delta,
            gamma: density / (self.forward * volatility * root),
            vega: self.forward * density * root / 100.0,
            theta: -self.forward * density * volatility / (2.0 * root) / 365.0,
            rho: rho / 100.0,
        }
    }

    /// The volatility (a fraction) at which the premium is `price` coin; `None` where there is
    /// none between 0.1 % and 1,000 %, as for a price below the option's worth at expiry.
    pub(crate) fn volatility(&self, price: f64) -> Option<f64> {
        let (mut low, mut high) = (0.001, 10.0);
        if price <= self.price(low) || price >= self.price(high) {
            return None;
        }
        let mut guess = 0.5;
        for _ in 0..100 {
            let miss = self.price(guess) - price;
            if miss > 0.0 {
                high = guess;
            } else {
                low = guess;
            }
            // Newton's step where it stays inside the bracket, else half of the bracket.
            let slope = self.greeks(guess).vega * 100.0 / self.forward;
            let newton = guess - miss / slope;
            let next =
                if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
            if (next - guess).abs() < 1e-12 {
                return Some(next);
            }
            guess = next;
        }
        Some(guess)
    }

    fn d(&self, volatility: f64) -> (f64, f64) {
        let spread = volatility * self.years.sqrt();
        let d1 = (self.forward / self.strike).ln() / spread + spread / 2.0;
        (d1, d1 - spread)
    }
}

fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The cumulative normal distribution: Hart's rational approximation as given by G. West, "Better
/// approximations to cumulative normal functions", Wilmott (2005); good to 1e-15.
fn normal(x: f64) -> f64 {
    const ABOVE: [f64; 7] = [
        3.526_249_659_989_11e-2,
        0.700_383_064_443_688,
        6.373_962_203_531_65,
        33.912_866_078_383,
        112.079_291_497_871,
        221.213_596_169_931,
        220.206_867_912_376,
    ];
    const BELOW: [f64; 8] = [
        8.838_834_764_831_84e-2,
        1.755_667_163_182_64,
        16.064_177_579_207,
        86.780_732_202_946_1,
        296.564_248_779_674,
        637.333_633_378_831,
        793.826_512_519_948,
        440.413_735_824_752,
    ];
    let distance = x.abs();
    let tail = if distance > 37.0 {
        0.0
    } else {
        let weight = (-distance * distance / 2.0).exp();
        if distance < 7.071_067_811_865_47 {
            let horner = |terms: &[f64]| terms.iter().fold(0.0, |sum, term| sum * distance + term);
            weight * horner(&ABOVE) / horner(&BELOW)
        } else {
            let chain = [4.0, 3.0, 2.0, 1.0];
            let fraction = chain.iter().fold(distance + 0.65, |sum, term| distance + term / sum);
            weight / fraction / 2.506_628_274_631
        }
    };
    if x > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_gives_its_volatility_back() {
        for right in [Right::Call, Right::Put] {
            for strike in [50_000.0, 70_000.0, 86_000.0, 95_000.0, 140_000.0] {
                for years in [0.003, 0.02, 0.25, 1.0] {
                    for volatility in [0.2, 0.395, 0.8, 1.5] {
                        let terms = Terms { right, forward: 86_120.5, strike, years };
                        let price = terms.price(volatility);
                        // Where a whole volatility point is worth nothing, nothing can be inverted.
                        if terms.greeks(volatility).vega < 1e-3 {
                            continue;
                        }
                        let back = terms.volatility(price).unwrap();
                        assert!((back - volatility).abs() < 1e-7, "{terms:?} {volatility} {back}");
                    }
                }
            }
        }
    }

    #[test]
    fn calls_and_puts_agree() {
        let call = Terms { right: Right::Call, forward: 2700.0, strike: 2500.0, years: 0.1 };
        let put = Terms { right: Right::Put, ..call };
        let parity = call.price(0.6) - put.price(0.6);
        assert!((parity - 200.0 / 2700.0).abs() < 1e-12);
        assert!((call.greeks(0.6).delta - put.greeks(0.6).delta - 1.0).abs() < 1e-12);
    }

    #[test]
    fn greeks_are_the_slopes_of_the_price() {
        let terms = Terms { right: Right::Put, forward: 86_000.0, strike: 80_000.0, years: 0.2 };
        let dollars = |terms: Terms, volatility| terms.price(volatility) * terms.forward;
        let greeks = terms.greeks(0.5);
        let up = Terms { forward: 86_001.0, ..terms };
        let down = Terms { forward: 85_999.0, ..terms };
        let delta = (dollars(up, 0.5) - dollars(down, 0.5)) / 2.0;
        assert!((greeks.delta - delta).abs() < 1e-6);
        let gamma = up.greeks(0.5).delta - terms.greeks(0.5).delta;
        assert!((greeks.gamma - gamma).abs() < 1e-8);
        let vega = (dollars(terms, 0.5001) - dollars(terms, 0.4999)) / 0.02;
        assert!((greeks.vega - vega).abs() < 1e-3);
        let later = Terms { years: 0.2 - 1e-4, ..terms };
        let theta = (dollars(later, 0.5) - dollars(terms, 0.5)) / 1e-4 / 365.0;
        assert!((greeks.theta - theta).abs() < 0.05, "{} {theta}", greeks.theta);
    }

    #[test]
    fn known_values_of_the_normal_distribution() {
        for (x, expected) in
            [(0.0, 0.5), (1.0, 0.841_344_746_068_543), (-2.0, 0.022_750_131_948_179_2)]
        {
            assert!((normal(x) - expected).abs() < 1e-14);
        }
        assert!(normal(-40.0) == 0.0 && normal(40.0) == 1.0);
        assert!((normal(-8.0) / 6.220_960_574_271_8e-16 - 1.0).abs() < 1e-6);
    }
}
