//! Where the truth lives: tables read through sqlx with bound values and checked identifiers.
